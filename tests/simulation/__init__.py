"""A broker in memory, the product's own sessions on it, and a seed that decides what goes wrong.

log.py, transactions.py, groups.py, broker.py   Kafka as its clients see it
link.py, consumer.py, producer.py, clients.py    the clients, and what may happen to each of their requests
follower.py, actors.py, people.py, comparing.py   the processes, and the people at the control log
world.py, faults.py, healing.py                  the operations that a walk is made of, and how it ends
judge.py, answered.py                            what must hold (I1-I8), told by the logs alone
walks.py, __main__.py                            from a seed to a walk, its run, its shortest form
mutants.py                                       broken variants of the product, and the seed that finds each
quiet.py, bench.py, contract.py                  what clients see of the model and of a real broker alike
"""
