"""The commands of the study: what is asked of `explore`, and what is the program's."""

from __future__ import annotations

import pytest

from chaoskernel.cli import explore
from tools.study.__main__ import command
from tools.study.programs import PROGRAMS, RUNS, Program, Run


@pytest.mark.parametrize("run", RUNS, ids=[run.name for run in RUNS])
@pytest.mark.parametrize("program", PROGRAMS, ids=[program.name for program in PROGRAMS])
def test_only_the_programs_own_words_come_after_the_options(program: Program, run: Run) -> None:
    words = command(program, run, "--json", "--budget", "1m")
    with explore.command.make_context("explore", words[1:]) as context:
        assert context.params["as_json"] is True
        assert context.params["faults"] == run.faults
        assert context.params["words"] == program.words
