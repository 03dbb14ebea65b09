"""What we answer differently on purpose. Each is named in docs/compat.md, and a declaration that isn't met any more
fails the run, so that the list doesn't outlive its reasons.

A declaration rewrites both answers where it applies; only what is then still unequal is a difference.
"""

import re
from dataclasses import dataclass


@dataclass
class Difference:
    #: As in docs/compat.md.
    identity: str
    #: Which exchanges: the beginning of their place, a regular expression.
    where: str
    #: What is rewritten in both answers, a regular expression …
    pattern: str
    #: … and into what.
    becomes: str
    reason: str


DECLARED: list[Difference] = []


def apply(place, left, right, used):
    """Both answers with what is declared rewritten. Only what differs is looked at."""
    for declared in DECLARED:
        if left == right:
            break
        if not re.match(declared.where, place):
            continue
        rewritten = [re.sub(declared.pattern, declared.becomes, text) for text in (left, right)]
        if rewritten != [left, right]:
            left, right = rewritten
            used.add(declared.identity)
    return left, right


def unused(used):
    return [declared.identity for declared in DECLARED if declared.identity not in used]
