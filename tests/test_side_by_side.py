"""Side by side or one after the other, the work is the same; a process that dies is told of."""

import os
import signal

import pytest
import torch

from dnastudy.files import InputError
from dnastudy.study.cache import side_by_side


def _work(task, factor):
    assert torch.get_num_threads() == 1
    return task[0] * factor


def _die(task):
    os.kill(os.getpid(), signal.SIGKILL)


def _refuse(task):
    raise InputError(f"{task[0]}: expected another")


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    assert torch.get_num_threads() == request.param
    torch.set_num_threads(before)


def test_every_task_is_done_with_one_thread(threads):
    assert sorted(side_by_side(_work, [(1,), (2,), (3,)], (10,), device="cpu")) == [10, 20, 30]


def test_no_task_is_no_work(threads):
    assert list(side_by_side(_work, [], (10,), device="cpu")) == []


def test_an_error_comes_through(threads):
    with pytest.raises(InputError, match="7: expected another"):
        list(side_by_side(_refuse, [(7,), (7,)], device="cpu"))


def test_a_killed_process_is_told_of():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(InputError, match=r"a process that counted sheep was killed, .*fewer than 2 threads"):
            list(side_by_side(_die, [(1,), (2,)], device="cpu", what="counted sheep"))
    finally:
        torch.set_num_threads(before)
