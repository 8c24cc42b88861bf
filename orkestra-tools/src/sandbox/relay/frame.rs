//! The frames between the host and `relay.py`: stream (4 bytes), kind (1), length (4), content.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Most content of one frame, bytes. The relay sends less; more is not from it.
const CONTENT_BYTES_MAX: u32 = 64 * 1024;

/// What a frame says about its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Frame {
    /// To the relay: connect to this port.
    Open(u16),
    /// From the relay: it is connected.
    Opened,
    /// Bytes.
    Data(Vec<u8>),
    /// No more bytes follow in this direction.
    End,
    /// The stream is over; from the relay with the reason of a failure.
    Close(String),
    /// So many bytes were delivered, and as many more may be sent.
    Credit(u32),
}

impl Frame {
    pub(super) fn encode(&self, stream: u32) -> Vec<u8> {
        let (kind, content): (u8, Vec<u8>) = match self {
            Self::Open(port) => (1, port.to_be_bytes().to_vec()),
            Self::Opened => (2, Vec::new()),
            Self::Data(bytes) => (3, bytes.clone()),
            Self::End => (4, Vec::new()),
            Self::Close(reason) => (5, reason.clone().into_bytes()),
            Self::Credit(bytes) => (6, bytes.to_be_bytes().to_vec()),
        };
        let mut encoded = stream.to_be_bytes().to_vec();
        encoded.push(kind);
        encoded.extend(u32::try_from(content.len()).unwrap_or(u32::MAX).to_be_bytes());
        encoded.extend(content);
        encoded
    }

    /// Reads the next frame. What is read comes from a process of the sandbox, so nothing about it is taken for granted.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<(u32, Self)> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let (stream, kind, length) = (from.read_u32().await?, from.read_u8().await?, from.read_u32().await?);
        if length > CONTENT_BYTES_MAX {
            return Err(invalid());
        }
        let mut content = vec![0; length as usize];
        from.read_exact(&mut content).await?;
        let frame = match kind {
            2 => Self::Opened,
            3 => Self::Data(content),
            4 => Self::End,
            5 => Self::Close(String::from_utf8_lossy(&content).into_owned()),
            6 => Self::Credit(u32::from_be_bytes(content.try_into().map_err(|_| invalid())?)),
            _ => return Err(invalid()),
        };
        Ok((stream, frame))
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[tokio::test]
    async fn frames_are_read_as_they_were_written_and_others_are_refused() {
        for frame in [
            Frame::Opened,
            Frame::Data(vec![0, 255]),
            Frame::Data(Vec::new()),
            Frame::End,
            Frame::Close("why".to_owned()),
            Frame::Credit(7),
        ] {
            let bytes = frame.encode(0x0102_0304);
            assert_eq!(Frame::read(&mut bytes.as_slice()).await.expect("read"), (0x0102_0304, frame));
        }
        let bad: [&[u8]; 5] = [
            b"",
            b"\0\0\0\x01\x03\0\0\0\x02x",
            b"\0\0\0\x01\x03\xff\xff\xff\xff",
            b"\0\0\0\x01\x09\0\0\0\0",
            b"\0\0\0\x01\x06\0\0\0\x01x",
        ];
        for mut bytes in bad {
            assert!(Frame::read(&mut bytes).await.is_err(), "{bytes:?}");
        }
    }
}
