"""Every test here runs on plain asyncio and on uvloop."""

import asyncio
import warnings

import pytest
import uvloop

from tests.support.aio_nets import KernelNet, StackNet


@pytest.fixture(params=[KernelNet, StackNet], ids=["kernel", "stack"])
def net(request):
    """Two ends that can talk."""
    return request.param()


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    """`run(coroutine)`; fails when the loop was told of an exception that the test did not collect."""

    def run_main(main, *, expect_errors=False):
        factory = uvloop.new_event_loop if request.param == "uvloop" else asyncio.new_event_loop
        errors = []

        async def guarded():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context))
            async with asyncio.timeout(30):
                return await main

        runner = asyncio.Runner(loop_factory=factory)
        try:
            result = runner.run(guarded())
        except BaseException:
            # uvloop never finishes closing when its warning of a transport left open is an error
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ResourceWarning)
                runner.close()
            raise
        runner.close()
        if expect_errors:
            return errors
        assert not errors
        return result

    return run_main
