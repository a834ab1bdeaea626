//! Bytes of a dump, one after the other, with the number of the line that they are in.

use std::io::{self, BufRead};

/// Reads bytes through a buffer of fixed size.
#[derive(Debug)]
pub(super) struct Bytes<R> {
    input: R,
    line: u64,
    read: u64,
}

impl<R: BufRead> Bytes<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 1, read: 0 }
    }

    /// The line that the next byte is in, from 1.
    pub(super) const fn line(&self) -> u64 {
        self.line
    }

    /// How many bytes have been taken.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    fn buffer(&mut self) -> io::Result<&[u8]> {
        // As `fill_buf` borrows for as long as its answer lives, interruptions are waited out first.
        loop {
            match self.input.fill_buf() {
                Ok(_) => break,
                Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
                Err(cause) => return Err(cause),
            }
        }
        self.input.fill_buf()
    }

    /// The next byte, which stays.
    pub(super) fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(self.buffer()?.first().copied())
    }

    /// The next bytes, as many as there are and at most so many, which stay. Only at the beginning
    /// are there as many as the input has.
    pub(super) fn peek_some(&mut self, most: usize) -> io::Result<Vec<u8>> {
        Ok(self.buffer()?.iter().take(most).copied().collect())
    }

    /// The next byte, taken.
    pub(super) fn next(&mut self) -> io::Result<Option<u8>> {
        let next = self.peek()?;
        if let Some(byte) = next {
            self.take(1, u64::from(byte == b'\n'));
        }
        Ok(next)
    }

    /// Takes the next byte if it is this one.
    pub(super) fn next_if(&mut self, wanted: u8) -> io::Result<bool> {
        let is_it = self.peek()? == Some(wanted);
        if is_it {
            self.take(1, u64::from(wanted == b'\n'));
        }
        Ok(is_it)
    }

    /// Takes bytes up to one that ends them, which stays, piece by piece.
    pub(super) fn take_until(
        &mut self,
        ends: impl Fn(u8) -> bool,
        mut piece: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        loop {
            let buffer = self.buffer()?;
            let end = buffer.iter().position(|one| ends(*one));
            let (taken, _) = buffer.split_at(end.unwrap_or(buffer.len()));
            piece(taken);
            let lines = taken.iter().map(|one| u64::from(*one == b'\n')).sum();
            let length = taken.len();
            self.take(length, lines);
            if end.is_some() || length == 0 {
                return Ok(());
            }
        }
    }

    fn take(&mut self, length: usize, lines: u64) {
        self.input.consume(length);
        self.line += lines;
        self.read += u64::try_from(length).unwrap_or_default();
    }
}
