# Copies connections to the container's loopback to the socket of the run's egress proxy. Needs no privileges and knows no
# protocol. It is the container's main process: when it ends, the container ends, and the sandbox starts it again.
import asyncio, sys

SOCKET, PORT = sys.argv[1], int(sys.argv[2])
GONE = b"HTTP/1.1 502 The egress proxy of this sandbox does not answer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()
    except OSError:
        writer.close()


async def serve(reader, writer):
    try:
        there_reader, there_writer = await asyncio.open_unix_connection(SOCKET)
    except OSError:
        writer.write(GONE)
        writer.close()
        return
    try:
        await asyncio.gather(copy(reader, there_writer), copy(there_reader, writer))
    finally:
        there_writer.close()
        writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", PORT, backlog=256)
    await server.serve_forever()


asyncio.run(main())
