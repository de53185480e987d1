"""Where points are computed: in this process, on a local Dask cluster, or on a real one."""

from __future__ import annotations

import logging
import re
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

from sim.experiments.experiment import ExperimentError

__all__ = ["SCHEDULER_TIMEOUT_S", "Workers"]

#: How long a scheduler may take to answer, and to have its first worker.
SCHEDULER_TIMEOUT_S = 10.0

#: How Dask's addresses look.
_ADDRESS = re.compile(r"(tcp|tls|ucx|ucxx|ws|wss)://([^\s/:@]+|\[[0-9A-Fa-f:.]+\]):(\d{1,5})")


class Workers:
    """Computes independent tasks; a context manager that closes what it started.

    Parameters
    ----------
    count : int, optional
        Processes of the local cluster, one thread each; 0: in this process, without Dask; as many
        as there are processors if not given.
    scheduler : str, optional
        Address of a Dask scheduler, `tcp://host:port`, whose workers do it instead.

    Raises
    ------
    ValueError
        If the count is negative, the address is none, or there are both a count and a scheduler.
    """

    def __init__(self, count: int | None = None, scheduler: str | None = None) -> None:
        if count is not None and count < 0:
            raise ValueError(f"The number of workers must be at least 0, not {count}")
        if count is not None and scheduler is not None:
            raise ValueError(
                "--workers is for the local cluster: a scheduler has the workers it has"
            )
        if scheduler is not None:
            found = _ADDRESS.fullmatch(scheduler)
            if found is None or not 1 <= int(found[3]) <= 65535:
                raise ValueError(
                    f"A scheduler's address must be like tcp://host:8786, not {scheduler!r}"
                )
        self._count = count
        self._scheduler = scheduler
        self._client: Any = None
        self._started = ExitStack()

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the local cluster, or the connection; nothing if none was started."""
        self._client = None
        self._started.close()

    @property
    def in_process(self) -> bool:
        """Whether tasks run in this process."""
        return self._count == 0

    def run(
        self, function: Callable, tasks: Sequence, in_process: bool = False
    ) -> Iterator[tuple[int, Any]]:
        """Compute all tasks.

        Parameters
        ----------
        function : callable
            Task -> result; at the top of a module, and so is all it holds.
        tasks : sequence
        in_process : bool
            Compute here whatever the workers.

        Yields
        ------
        tuple of int and result
            Index of a task and its result, or the exception of a worker that was lost, in the order
            in which they are done.

        Raises
        ------
        ExperimentError
            If the scheduler cannot be reached, or has no workers.
        """
        if in_process or self.in_process or not tasks:
            for index, task in enumerate(tasks):
                yield index, function(task)
            return
        from distributed import as_completed

        client = self._connected()
        futures = client.map(function, tasks, pure=False)
        indices = {future.key: index for index, future in enumerate(futures)}
        try:
            for future in as_completed(futures, loop=client.loop):
                error = future.exception()
                yield indices[future.key], future.result() if error is None else error
                future.release()
        finally:
            client.cancel([future for future in futures if not future.done()])

    def _connected(self) -> Any:
        if self._client is None:
            self._client = self._remote() if self._scheduler else self._local()
        return self._client

    def _remote(self) -> Any:
        from distributed import Client

        where = f"the Dask scheduler {self._scheduler}"
        client = Client.__new__(Client)  # so that there is something to close if it fails
        try:
            client.__init__(self._scheduler, timeout=SCHEDULER_TIMEOUT_S, set_as_default=False)
            self._started.enter_context(client)
        except (OSError, ValueError) as error:  # TimeoutError is an OSError
            client.close()
            reason = f": {error}" if isinstance(error, ValueError) else ""
            raise ExperimentError(
                f"Cannot reach {where} within {SCHEDULER_TIMEOUT_S:g} s{reason}"
            ) from error
        try:
            client.wait_for_workers(1, timeout=SCHEDULER_TIMEOUT_S)
        except TimeoutError as error:
            raise ExperimentError(
                f"{where[0].upper()}{where[1:]} has no workers: start one with "
                f"`dask worker {self._scheduler}` in a checkout"
            ) from error
        return client

    def _local(self) -> Any:
        from dask.system import CPU_COUNT
        from distributed import Client

        # Workers inherit what is ignored: a Ctrl-C is for this process, which closes them
        interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            cluster = self._cluster(self._count or CPU_COUNT)
        finally:
            signal.signal(signal.SIGINT, interrupt)
        return self._started.enter_context(Client(cluster, set_as_default=False))

    def _cluster(self, count: int) -> Any:
        from distributed import LocalCluster

        scratch = self._started.enter_context(tempfile.TemporaryDirectory(prefix="heliobit-dask-"))
        return self._started.enter_context(
            LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                processes=True,
                memory_limit=0,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",  # Dask wants a port, with nothing on it
                scheduler_kwargs={"dashboard": False},
                silence_logs=logging.CRITICAL,
                local_directory=scratch,
            )
        )
