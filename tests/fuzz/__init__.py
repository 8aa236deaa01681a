"""Mutated inputs for everything that reads text of others.

`python -m tests.fuzz --inputs 200000 --seed 1` tries them and prints a table; `--replay FILE`
tries one input again.  An input must be accepted, or refused by an error of
chaoskernel.errors whose message is one clean line; everything else is a failure.

hypothesis makes the inputs: its strategies describe the mutations, and its `fuzz_one_input`
turns bytes into an input.  The bytes come from a seeded generator, so that the seed, the
target and a number name one input, and a worker that a crash or a hang has taken with it
goes on at the next one.  Rejected: `@given`, which ends at the first failure, keeps a tree
of all examples and takes three times as long; atheris, whose libFuzzer owns the process and
its exit, so that nothing could be counted by kind of failure.  Where coverage has to guide
the search, atheris drives the same `fuzz_one_input`.
"""
