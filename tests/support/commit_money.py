"""Two databases with accounts, between which money goes."""

import sqlite3

from stack import commit

STATEMENTS = {
    "take": commit.Statement("UPDATE account SET amount = amount - :amount WHERE name = :name", rows=1),
    "give": commit.Statement("UPDATE account SET amount = amount + :amount WHERE name = :name", rows=1),
    "open": commit.Statement("INSERT INTO account VALUES (:name, :amount)"),
    "note": commit.Statement("INSERT INTO note VALUES (:account, :text)"),
}
SCHEMA = """
CREATE TABLE account (name TEXT PRIMARY KEY, amount INTEGER NOT NULL CHECK (amount >= 0));
CREATE TABLE note (account TEXT REFERENCES account (name) DEFERRABLE INITIALLY DEFERRED, text TEXT);
INSERT INTO account VALUES ('anna', 100), ('otto', 100);
"""


def make(path):
    """A database with 100 for anna and otto."""
    with sqlite3.connect(path) as db:
        db.executescript(SCHEMA)
    db.close()
    return path


def amounts(path):
    """As anybody sees them who reads the file."""
    db = sqlite3.connect(path)
    try:
        return dict(db.execute("SELECT name, amount FROM account"))
    finally:
        db.close()


def take(amount, name="anna"):
    return commit.steps(("take", {"name": name, "amount": amount}))


def give(amount, name="otto"):
    return commit.steps(("give", {"name": name, "amount": amount}))
