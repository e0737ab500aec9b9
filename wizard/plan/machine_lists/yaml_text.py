"""YAML, from its parser's events and not by a loader: no tag is obeyed, nothing recurses, every scalar is a str."""

from __future__ import annotations

from typing import Any

from wizard.plan.machine_lists.tree import Mapping, NotATree, TreeBuilder


def parse(text: str) -> Any:
    """Parse; an unquoted empty value, ~ or null of a mapping becomes None. An alias is the same object as its anchor.

    Raises NotATree.
    """
    # Loaded only for a list in YAML.
    import yaml

    builder = TreeBuilder()
    anchors: dict[str, Any] = {}
    line = 1
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            line = event.start_mark.line + 1 if event.start_mark is not None else line
            value: Any
            if isinstance(event, yaml.AliasEvent):
                builder.put(anchors.get(event.anchor or ""), line)
            elif isinstance(event, yaml.ScalarEvent):
                nothing = event.style is None and event.value in ("", "~", "null") and builder.wants_value
                value = None if nothing else event.value
                anchors[event.anchor or ""] = value
                builder.put(value, line)
            elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
                value = Mapping() if isinstance(event, yaml.MappingStartEvent) else []
                anchors[event.anchor or ""] = value
                builder.begin(value, line)
            elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
                builder.end()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise NotATree(mark.line + 1 if mark is not None else 1, str(error.problem or error.context)) from None
    except yaml.YAMLError as error:
        raise NotATree(1, str(error).partition("\n")[0]) from None
    return builder.result(line)
