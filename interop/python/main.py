"""Runs the scenarios with one Python client: main.py CLIENT --bootstrap HOST:PORT [--records N]."""

import argparse
import importlib
import sys

from scenarios import run_all

CLIENTS = {"confluent-kafka": "adapter_confluent", "kafka-python": "adapter_kafka_python", "aiokafka": "adapter_aiokafka"}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("client", choices=CLIENTS)
parser.add_argument("--bootstrap", required=True)
parser.add_argument("--records", type=int, default=100_000)
arguments = parser.parse_args()
client = importlib.import_module(CLIENTS[arguments.client]).Client(arguments.bootstrap)
sys.exit(1 if run_all(client, arguments.records) else 0)
