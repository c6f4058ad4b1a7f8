"""What can go wrong with a transaction, and with what is written down of it."""

import errno

from stack.errors import StackError


class CommitError(StackError):
    """Base of the errors of two-phase commit."""


class Aborted(CommitError):
    """The transaction has not happened, nowhere; `why` says who would not, and for what reason (ECANCELED)."""

    code = errno.ECANCELED

    def __init__(self, transaction: str, why: str) -> None:
        self.transaction = transaction
        self.why = why
        super().__init__(f"transaction {transaction} was aborted: {why}")


class Undecided(CommitError):
    """The coordinator's log failed while the decision was written.

    Nobody knows it until the coordinator is started anew, and finds it in its log or not (EIO).
    """


class Refused(CommitError):
    """This participant will not do what the transaction wants of it (EINVAL)."""

    code = errno.EINVAL


class LogError(CommitError):
    """The log cannot be written.  Nothing was: what should have been written has not happened (EIO, or the disk's)."""


class LogFailed(LogError):
    """The disk failed while it was told to keep something; whether it did is known when it is opened again (EIO)."""


class CorruptLog(CommitError):
    """The log is damaged in its middle, or is not what it should be: it is not used (EBADMSG)."""

    code = errno.EBADMSG
