"""What is said to the servers: scenarios of exchanges, each beginning on a server without streams."""

from . import consumers, limits, messages, publish, pull, push, requests, streams

SCENARIOS = [
    (f"{module.__name__.rsplit('.', 1)[1]}/{function.__name__}", function)
    for module in (requests, streams, publish, limits, messages, consumers, pull, push)
    for function in module.SCENARIOS
]

