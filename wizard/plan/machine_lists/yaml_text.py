"""YAML -> the same Mappings and lists that JSON gives, each with its line; all scalars are text."""

from __future__ import annotations

from typing import Any

from wizard.plan.machine_lists.json_text import DEEPEST, Mapping, NotJson


def parse(text: str) -> Any:
    """From the parser's events and not with a loader: no tags are obeyed, nothing recurses. Raises NotJson."""
    # Only who reads such a list waits for it.
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    top: list[Any] = []
    stack: list[Any] = []
    keys: list[Any] = []
    anchors: dict[str, Any] = {}

    def put(value: Any) -> None:
        if not stack:
            top.append(value)
        elif isinstance(stack[-1], Mapping):
            if keys[-1] is None:
                keys[-1] = value if isinstance(value, str) else "?"
            else:
                if keys[-1] == "<<" and isinstance(value, Mapping):
                    for key, held in value.items():
                        stack[-1].setdefault(key, held)
                else:
                    stack[-1][keys[-1]] = value
                    stack[-1].lines[keys[-1]] = key_lines[-1]
                keys[-1] = None
        else:
            stack[-1].append(value)

    key_lines: list[int] = []
    try:
        for event in yaml.parse(text, Loader=loader):
            line = event.start_mark.line + 1 if event.start_mark is not None else 1
            if stack and keys[-1] is None:
                key_lines[-1] = line
            if isinstance(event, yaml.ScalarEvent):
                plain = event.style is None and event.value in ("", "~", "null")
                value: Any = None if plain and stack and keys[-1] is not None else event.value
                if event.anchor:
                    anchors[event.anchor] = value
                put(value)
            elif isinstance(event, yaml.AliasEvent):
                put(anchors.get(event.anchor or ""))
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                if len(stack) >= DEEPEST:
                    raise NotJson(line, "nested too deeply")
                opened: Any = Mapping() if isinstance(event, yaml.MappingStartEvent) else []
                if isinstance(opened, Mapping):
                    opened.line = line
                if event.anchor:
                    anchors[event.anchor] = opened
                put(opened)
                stack.append(opened)
                keys.append(None)
                key_lines.append(line)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                stack.pop()
                keys.pop()
                key_lines.pop()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotJson(mark.line + 1 if mark is not None else 1, str(error.problem or error.context)) from None
    except yaml.YAMLError as error:
        raise NotJson(1, str(error).partition("\n")[0]) from None
    return top[0] if len(top) == 1 else top
