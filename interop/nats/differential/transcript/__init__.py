"""What is said to the servers: scenarios of exchanges, each beginning on a server without streams."""

from . import clock, consumers, edges, hostile, limits, messages, protocol, publish, pull, push, requests, streams

SCENARIOS = [
    (f"{module.__name__.rsplit('.', 1)[1]}/{function.__name__}", function)
    for module in (protocol, requests, streams, edges, publish, limits, messages, consumers, hostile, pull, push, clock)
    for function in module.SCENARIOS
]

