"""A program with a libhive of another version is told so by the cell, whatever its messages are."""

import socket
import struct
import unittest

from machine import MachineTest, WAIT_S

ATTACH_MAGIC = 0x41565648
VERSION = 9  # hive::Code::version


class Version(MachineTest):
    def hello(self, message):
        """(magic, version, accepted, code, cause) of the cell's answer, or None when it hangs up."""
        path = f"{self.machine.directory}/{self.machine.name}/cell0.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
            client.settimeout(WAIT_S)
            client.connect(path)
            client.send(message)
            answer = client.recv(4096)
        if not answer:
            return None
        magic, version, accepted, code, cause = struct.unpack_from("<IIII96s", answer)
        return magic, version, accepted, code, cause.rstrip(b"\0").decode()

    def test_another_protocol_is_refused_with_words(self):
        self.machine.boot(cells=1)
        # As long as the cell's own, shorter, and longer: another version may be either.
        for length in (96, 8, 24, 200):
            with self.subTest(length=length):
                hello = struct.pack("<II", ATTACH_MAGIC, 99).ljust(length, b"\1")
                magic, own_version, accepted, code, cause = self.hello(hello)
                self.assertEqual((magic, accepted, code), (ATTACH_MAGIC, 0, VERSION))
                self.assertIn("version", cause)
        self.assertIsNone(self.hello(struct.pack("<II", 1, 99)))
        self.assertIsNone(self.hello(struct.pack("<II", ATTACH_MAGIC, own_version)))  # cut off
        self.assertEqual(self.machine.states(), ["up"])
        self.machine.shutdown()
        self.assert_nothing_left()


if __name__ == "__main__":
    unittest.main()
