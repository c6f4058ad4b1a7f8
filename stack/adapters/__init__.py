"""Other libraries' own interfaces to the network, over an AsyncHost.  Each module needs its library.

They are for programs that hand such an object to their library, or that do not run on asyncio; on a loop of
`stack.aio.loop` most libraries need none of them.
"""


def missing(library: str, exc: ImportError) -> ImportError:
    """The error of an adapter whose library is not installed."""
    return ImportError(f"this adapter needs {library}: pip install 'tapstack[{library}]'", name=exc.name)
