"""The control socket of a daemon, for tests of the commands that ask it."""

import json
import socket
import threading


class Daemon:
    """The control socket of a daemon that gives these answers, and keeps what it was asked."""

    def __init__(self, path, *answers):
        self.answers = answers
        self.asked = []
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.bind(str(path))
        self.sock.listen()
        self.sock.settimeout(5)  # who is not asked ends all the same
        self.thread = threading.Thread(target=self.serve)

    def serve(self):
        for answer in self.answers:
            try:
                client, _ = self.sock.accept()
            except TimeoutError:
                return
            with client, client.makefile("rb") as lines:
                self.asked.append(json.loads(lines.readline()))
                client.sendall(json.dumps(answer).encode() + b"\n")

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.thread.join(10)
        self.sock.close()
