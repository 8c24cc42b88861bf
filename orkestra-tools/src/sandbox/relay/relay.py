# Connects to servers in this sandbox for the host, any number of connections over one pair of pipes. It knows no protocol.
# Frames in both directions: stream (4 bytes), kind (1), length (4), content. A side sends no more data than it has credit for.
import asyncio, struct, sys

OPEN, OPENED, DATA, END, CLOSE, CREDIT = range(1, 7)
WINDOW, PIECE, STREAMS = 256 * 1024, 16 * 1024, 256
streams = {}


class Stream:
    def __init__(self, out, number):
        self.out, self.number = out, number
        self.credit, self.more, self.arrived = WINDOW, asyncio.Event(), asyncio.Queue()

    async def send(self, kind, content=b""):
        self.out.write(struct.pack(">IBI", self.number, kind, len(content)) + content)
        await self.out.drain()

    async def run(self, port):
        writer = None
        try:
            reader, writer = await connect(port)
            await self.send(OPENED)
            await asyncio.gather(self.up(writer), self.down(reader))
            await self.send(CLOSE)
        except (OSError, ValueError) as error:
            await self.send(CLOSE, str(error).encode()[:300])
        finally:
            streams.pop(self.number, None)
            if writer:
                writer.close()

    async def up(self, writer):
        while content := await self.arrived.get():
            writer.write(content)
            await writer.drain()
            await self.send(CREDIT, struct.pack(">I", len(content)))
        writer.write_eof()

    async def down(self, reader):
        while content := await reader.read(min(PIECE, await self.allowed())):
            self.credit -= len(content)
            await self.send(DATA, content)
        await self.send(END)

    async def allowed(self):
        while self.credit <= 0:
            self.more.clear()
            await self.more.wait()
        return self.credit


async def connect(port):
    try:
        return await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        try:
            return await asyncio.open_connection("::1", port)
        except OSError:
            raise OSError("connection refused")


async def main():
    loop = asyncio.get_running_loop()
    incoming = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(incoming), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(asyncio.streams.FlowControlMixin, sys.stdout.buffer)
    out = asyncio.StreamWriter(transport, protocol, None, loop)
    tasks = {}
    while True:
        try:
            number, kind, length = struct.unpack(">IBI", await incoming.readexactly(9))
            content = await incoming.readexactly(length)
        except asyncio.IncompleteReadError:
            return
        stream = streams.get(number)
        if kind == OPEN and len(streams) < STREAMS:
            stream = streams[number] = Stream(out, number)
            tasks[number] = loop.create_task(stream.run(struct.unpack(">H", content)[0]))
            tasks[number].add_done_callback(lambda _, number=number: tasks.pop(number, None))
        elif stream is None:
            if kind == OPEN:
                out.write(struct.pack(">IBI", number, CLOSE, 0))
        elif kind == DATA:
            stream.arrived.put_nowait(content)
        elif kind == END:
            stream.arrived.put_nowait(b"")
        elif kind == CREDIT:
            stream.credit += struct.unpack(">I", content)[0]
            stream.more.set()
        elif kind == CLOSE:
            tasks[number].cancel()


asyncio.run(main())
