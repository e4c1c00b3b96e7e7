"""What transformers renders from chat templates: tests/data/chat/goldens.json, read by tests/chat/chat_template_test.cpp.

    python tools/oracles/chat_goldens.py tests/data/chat

The templates of that folder over conversations with and without a system's words, tools, calls and thoughts, with the generation prompt on and off;
then single expressions (expressions.txt) and small templates (templates.json) over fixed variables. An error of Jinja is null: which words it has is
ours.
"""

import json
import pathlib
import sys

from transformers.utils.chat_template_utils import render_jinja_template

SYSTEM = {"role": "system", "content": "  Answer kindly.\n"}
PAIR = [{"role": "user", "content": " What is 2 + 2?\n"}, {"role": "assistant", "content": "It is 4. "}]
NEXT = {"role": "user", "content": "Und auf Русском? 日本語 🙂 <b>&amp;</b>"}
THOUGHT = {"role": "assistant", "content": "<think>\nfour\n</think>\n\nIt is 4."}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather\nof a place", "parameters": {"type": "object", "properties": {
    "place": {"type": "string", "description": "Where, e.g. \"Köln\""}, "days": {"type": ["integer", "null"], "description": "How many"},
    "units": {"type": "array", "items": {"type": "string"}, "description": "of what"}}, "required": ["place"]}}}  # fmt: skip
CALL = {"role": "assistant", "tool_calls": [{"id": "abc123def", "type": "function", "function": {"name": "weather", "arguments": {"place": "Köln", "days": 2}}}]}
RESULT = {"role": "tool", "name": "weather", "content": "{\"degrees\": 7.5}", "tool_call_id": "abc123def"}
PARTS = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " What is this? "}]}
CONVERSATIONS = {
    "one": PAIR[:1],
    "turns": PAIR + [NEXT],
    "system": [SYSTEM] + PAIR[:1],
    "system and turns": [SYSTEM] + PAIR + [NEXT],
    "ends with the assistant": [SYSTEM] + PAIR,
    "thoughts": [PAIR[0], THOUGHT, NEXT, THOUGHT],
    "reasoning": [PAIR[0], {"role": "assistant", "content": "4", "reasoning": "two and two"}],
    "call": [PAIR[0], {**CALL, "content": None}, RESULT],
    "call and answer": [SYSTEM, PAIR[0], CALL, RESULT, RESULT, PAIR[1], NEXT],
    "parts": [PARTS],
    "out of turn": [PAIR[0], PAIR[0]],
    "begins with the assistant": PAIR[1:],
    "empty text": [{"role": "user", "content": ""}],
}
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "date_string": "26 Jul 2024"}
MESSAGES = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi  there\n"}, {"role": "assistant", "content": "Hällo <b>"},
            {"role": "user", "content": "Qué? 日本"}]  # fmt: skip
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "x": 5, "y": 2.5, "s": "  Hello World  ", "l": [3, 1, 2],
             "d": {"b": 1, "a": {"c": [1, 2, {"e": None}]}}, "n": None, "t": True, "empty": "", "u": "Ünïcödé 'q' \"d\"\t\x01\u200b"}  # fmt: skip


def render(template, messages, **more):
    messages = [{key: value for key, value in message.items() if value is not None} for message in messages]  # as apply_chat_template
    try:
        return render_jinja_template([messages], chat_template=template, **more)[0][0]
    except Exception:
        return None


def main():
    folder = pathlib.Path(sys.argv[1])
    families = []
    for path in sorted(folder.glob("*.jinja")):
        template = path.read_text()
        for name, messages in CONVERSATIONS.items():
            for tools in (None, [TOOL]):
                for prompt in (False, True):
                    variables = SPECIAL if name != "thoughts" else {**SPECIAL, "enable_thinking": False}
                    families.append({"template": path.stem, "conversation": name, "tools": tools is not None, "prompt": prompt, "variables": variables,
                                     "text": render(template, messages, tools=tools, add_generation_prompt=prompt, **variables)})  # fmt: skip
    small = [{"template": "{{ " + line + " }}"} for line in (folder / "expressions.txt").read_text().splitlines()]
    small += [{"template": template} for template in json.loads((folder / "templates.json").read_text())]
    for case in small:
        case["text"] = render(case["template"], MESSAGES, **VARIABLES)
    goldens = {"conversations": CONVERSATIONS, "tools": [TOOL], "families": families, "messages": MESSAGES, "variables": VARIABLES, "small": small}
    (folder / "goldens.json").write_text(json.dumps(goldens, indent=0, ensure_ascii=False) + "\n")
    print(f"{len(families)} texts of families ({sum(case['text'] is None for case in families)} refused), "
          f"{len(small)} small ones ({sum(case['text'] is None for case in small)} refused)")  # fmt: skip


if __name__ == "__main__":
    main()
