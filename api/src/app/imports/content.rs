//! The content of an import: cut into lines as it arrives, kept in sealed blocks. What is kept is
//! whole lines, so that whoever was cut off goes on behind the last of them.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;
use umail_api_types::imports::{Format, ImportState};
use umail_proto::ids::ImportId;

use crate::{
    app::imports::{begin, find, has_header, seal_name},
    authz::{Action, Resource},
    context::Context,
    error::{Error, Result},
    model::import::{Cutter, Import, parse_header},
    store::{self, import_blocks::Block},
};

/// Whoever sends nothing for so long is cut off.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a block: it is kept in one transaction, and worked on in one.
pub(super) const BLOCK_LINES: i64 = 2_000;
const BLOCK_BYTES: usize = 512 * 1024;
/// Of an import: the numbers of lines are remembered while it is worked on.
const MAX_LINES: i64 = 5_000_000;
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Which part of a content it is.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Where it begins.
    pub offset: i64,
    /// Whether another one follows.
    pub has_more: bool,
    /// In which form.
    pub format: Format,
}

/// Takes a part of the content of an import, and begins the work on it with the last one.
pub async fn receive<B: AsRef<[u8]>>(
    cx: &Context,
    id: ImportId,
    part: Part,
    pieces: impl Stream<Item = Result<B>> + Send,
) -> Result<Import> {
    cx.require_person()?;
    let import = find(cx, id, Action::Create).await?;
    if cx.caller().id() != Some(import.created_by) {
        return Err(Error::Forbidden("fill an import that somebody else began".to_owned()));
    }
    if import.state != ImportState::Receiving {
        return Err(Error::Conflict("the import has begun".to_owned()));
    }
    if part.offset != import.received_bytes {
        let text = format!("the content is there up to byte {}", import.received_bytes);
        return Err(Error::Conflict(text));
    }
    if import.format.is_some_and(|format| format != part.format) {
        return Err(Error::Conflict("the content has begun in another format".to_owned()));
    }
    let mut tray = Tray::new(cx, import, part.format);
    let taken = tray.take(pieces, part.has_more).await;
    // What has arrived in whole lines is kept, however it ended.
    match taken {
        Ok(()) => tray.finish(part.has_more).await,
        Err(error @ (Error::Unavailable(_) | Error::TooLarge(_))) => {
            tray.flush().await?;
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// The refusal of who sends to an import at the same time as somebody else.
pub(super) fn moved_on() -> Error {
    Error::Conflict("somebody else has sent to the import meanwhile".to_owned())
}

/// Collects lines.
struct Tray<'a> {
    cx: &'a Context,
    format: Format,
    /// As it is stored.
    kept: Import,
    /// With the lines that are not stored yet.
    import: Import,
    cutter: Cutter,
    block: Vec<u8>,
    first_line: i64,
    lines: i64,
}

impl<'a> Tray<'a> {
    fn new(cx: &'a Context, import: Import, format: Format) -> Self {
        let first_line = import.received_lines + 1;
        let kept = import.clone();
        let (cutter, block) = (Cutter::default(), Vec::new());
        Self { cx, format, kept, import, cutter, block, first_line, lines: 0 }
    }

    async fn take<B: AsRef<[u8]>>(
        &mut self,
        pieces: impl Stream<Item = Result<B>> + Send,
        has_more: bool,
    ) -> Result<()> {
        let mut pieces = std::pin::pin!(pieces);
        loop {
            let next = timeout(PATIENCE, pieces.next()).await.map_err(|_elapsed| {
                Error::Unavailable("nothing arrives: go on from received_bytes".to_owned())
            })?;
            let Some(piece) = next else { break };
            let piece = piece?;
            let mut piece = piece.as_ref();
            while !piece.is_empty() {
                if let Some((line, length)) = self.cutter.cut(&mut piece) {
                    self.add(&line, length).await?;
                }
            }
        }
        // A line that has not ended may go on in the next part.
        match self.cutter.end() {
            Some((line, length)) if !has_more => self.add(&line, length).await,
            _ => Ok(()),
        }
    }

    /// `length` is that of the line as it arrived.
    async fn add(&mut self, line: &[u8], length: usize) -> Result<()> {
        let bytes = self.import.received_bytes + i64::try_from(length).unwrap_or(i64::MAX);
        if bytes > self.cx.state().import_bytes() {
            let text = format!("an import has at most {} bytes", self.cx.state().import_bytes());
            return Err(Error::TooLarge(text));
        }
        if self.import.received_lines >= MAX_LINES {
            return Err(Error::TooLarge(format!("an import has at most {MAX_LINES} lines")));
        }
        self.import.received_bytes = bytes;
        self.import.received_lines += 1;
        self.import.format = Some(self.format);
        let is_first = self.import.received_lines == 1;
        let line = line.strip_prefix(BYTE_ORDER_MARK).filter(|_| is_first).unwrap_or(line);
        if is_first && has_header(self.format) {
            let columns = parse_header(line, self.import.key);
            self.import.columns = columns.map_err(|reason| Error::invalid("line 1", reason))?;
            self.first_line = 2;
            return Ok(());
        }
        self.block.extend_from_slice(line);
        self.block.push(b'\n');
        self.lines += 1;
        if self.lines >= BLOCK_LINES || self.block.len() >= BLOCK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    /// Stores what has been collected.
    async fn flush(&mut self) -> Result<()> {
        if self.import.received_bytes == self.kept.received_bytes {
            return Ok(());
        }
        let mut tx = self.cx.begin().await?;
        self.keep(&mut tx).await?;
        tx.commit().await?;
        let cx = self.cx;
        cx.authorize_still(Action::Create, Resource::Imports(self.import.domain_id)).await
    }

    async fn keep(&mut self, db: &mut sqlx::PgConnection) -> Result<()> {
        self.import.updated_at = self.cx.now();
        if !store::imports::receive(&mut *db, &self.kept, &self.import).await? {
            return Err(moved_on());
        }
        if self.lines > 0 {
            let name = seal_name(self.import.id, self.first_line);
            let sealed = self.cx.state().sealer().seal(&name, &self.block)?;
            let block = Block { first_line: self.first_line, lines: self.lines, sealed };
            store::import_blocks::insert(db, self.import.id, &block).await?;
        }
        self.kept = self.import.clone();
        self.block.clear();
        self.first_line += self.lines;
        self.lines = 0;
        Ok(())
    }

    async fn finish(mut self, has_more: bool) -> Result<Import> {
        if has_more {
            self.flush().await?;
            return Ok(self.import);
        }
        if self.import.received_lines == 0 {
            return Err(Error::invalid("content", "must not be empty"));
        }
        let mut tx = self.cx.begin().await?;
        if self.import.received_bytes > self.kept.received_bytes {
            self.keep(&mut tx).await?;
        }
        begin(self.cx, &mut tx, &mut self.import).await?;
        tx.commit().await?;
        self.cx.state().fleet().progressed();
        Ok(self.import)
    }
}
