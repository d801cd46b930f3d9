"""Writes the fixtures beside this file: real topologies, and what networkx says breaks in them.

    python3 -m venv venv && venv/bin/pip install topohub networkx && venv/bin/python make.py

Every node is a hop with a host on it; every link is two path edges; three nodes have an agent. For each
hop that is removed: how many (agent, host) pairs break, how many of the others had a shortest way
across it, and how many nodes no agent is connected with any more.
"""

import json
import pathlib

import networkx as nx
import topohub

NAMES = ["topozoo/Abilene", "topozoo/Geant2012", "sndlib/nobel-eu", "sndlib/germany50", "topozoo/Dfn", "topozoo/TataNld", "sndlib/brain"]


def answers(links, count, agents):
    graph = nx.DiGraph()
    for a, b in links:
        graph.add_edge(("hop", a), ("hop", b))
        graph.add_edge(("hop", b), ("hop", a))
    for n in range(count):
        graph.add_edge(("hop", n), ("host", n))
    for n in agents:
        graph.add_edge(("agent", n), ("hop", n))
    hosts = [("host", n) for n in range(count)]
    starts = [("agent", n) for n in agents]
    far = {node: nx.single_source_shortest_path_length(graph, node) for node in graph}
    removed = []
    for n in range(count):
        gone = ("hop", n)
        rest = graph.subgraph([node for node in graph if node != gone])
        broken = rerouted = 0
        for start in starts:
            reach = nx.descendants(rest, start)
            for host in hosts:
                if host not in far[start]:
                    continue
                if host not in reach:
                    broken += 1
                elif gone in far[start] and host in far[gone] and far[start][gone] + far[gone][host] == far[start][host]:
                    rerouted += 1
        whole = graph.to_undirected()
        parts = rest.to_undirected()
        before = set().union(*(nx.node_connected_component(whole, start) for start in starts))
        after = set().union(*(nx.node_connected_component(parts, start) for start in starts))
        removed.append([broken, rerouted, len(before - after - {gone})])
    lengths = [[far[start].get(host, -1) for host in hosts] for start in starts]
    return {"removed": removed, "lengths": lengths, "components": nx.number_weakly_connected_components(graph)}


for name in NAMES:
    topology = topohub.get(name)
    index = {node["id"]: i for i, node in enumerate(topology["nodes"])}
    pairs = {tuple(sorted((index[link["source"]], index[link["target"]]))) for link in topology["edges"]}
    links = sorted(pair for pair in pairs if pair[0] != pair[1])
    count = len(index)
    agents = sorted({0, count // 3, 2 * count // 3})
    fixture = {"name": name, "nodes": count, "links": links, "agents": agents, **answers(links, count, agents)}
    path = pathlib.Path(__file__).with_name(name.replace("/", "-") + ".json")
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(path.name, count, len(links), path.stat().st_size)
