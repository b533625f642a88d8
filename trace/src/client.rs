//! A client whose operations are recorded, if anybody asked for it.

use std::cell::Cell;
use std::sync::Arc;

use tmem::{BadFrame, Client, GuestPages, Key, ObjectId, PAGE_SIZE, Page, PoolKind, Status};

use crate::operation::Operation;
use crate::recorder::Recorder;

/// A client, and perhaps a recorder. Without one each call is the client's, behind one branch.
///
/// An operation is recorded when it is answered. Of two that overlap, the one that the store did first may stand second.
#[derive(Clone, Debug)]
pub struct RecordedClient {
    client: Arc<Client>,
    recorder: Option<Arc<Recorder>>,
}

/// Guest memory whose last page that was read is kept.
struct Witness<'a, M> {
    memory: &'a M,
    page: Cell<Option<Page>>,
}

impl<M: GuestPages> GuestPages for Witness<'_, M> {
    fn read_page(&self, frame: u64, into: &mut Page) -> Result<(), BadFrame> {
        self.memory.read_page(frame, into)?;
        // The store's copy: the guest may have changed its own already.
        self.page.set(Some(*into));
        Ok(())
    }

    fn write_page(&self, frame: u64, from: &Page) -> Result<(), BadFrame> {
        self.memory.write_page(frame, from)
    }

    fn expect_write(&self, frame: u64) {
        self.memory.expect_write(frame);
    }
}

impl From<Arc<Client>> for RecordedClient {
    /// A client without a recorder.
    fn from(client: Arc<Client>) -> Self {
        Self::new(client, None)
    }
}

impl RecordedClient {
    /// `client`, whose operations go to `recorder` if there is one.
    #[must_use]
    pub fn new(client: Arc<Client>, recorder: Option<Arc<Recorder>>) -> Self {
        Self { client, recorder }
    }

    /// The client, for what is not recorded.
    #[must_use]
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    fn record(&self, operation: impl FnOnce() -> Operation) {
        if let Some(recorder) = &self.recorder {
            recorder.record(operation());
        }
    }

    /// [`Client::hello`]
    pub fn hello(&self) {
        self.client.hello();
        self.record(|| Operation::Hello);
    }

    /// [`Client::pool_new`]
    ///
    /// # Errors
    /// As the client says.
    pub fn pool_new(&self, kind: PoolKind) -> Result<u32, Status> {
        let answer = self.client.pool_new(kind);
        self.record(|| Operation::PoolNew { kind, answer });
        answer
    }

    /// [`Client::pool_destroy`]
    pub fn pool_destroy(&self, pool: u32) -> Status {
        let status = self.client.pool_destroy(pool);
        self.record(|| Operation::PoolDestroy { pool, status });
        status
    }

    /// [`Client::put`]
    pub fn put(&self, key: Key, frame: u64, memory: &impl GuestPages) -> Status {
        match &self.recorder {
            None => self.client.put(key, frame, memory),
            Some(recorder) => self.put_recorded(recorder, key, frame, memory),
        }
    }

    #[cold]
    fn put_recorded(&self, recorder: &Recorder, key: Key, frame: u64, memory: &impl GuestPages) -> Status {
        let witness = Witness { memory, page: Cell::new(None) };
        let status = self.client.put(key, frame, &witness);
        let seen = witness.page.take();
        // A page that was rejected unseen is what a replay with more room wants to know of.
        let seen = if status.is_rejection() { seen.or_else(|| read(memory, frame)) } else { seen };
        let content = seen.map(|page| recorder.describe(&page));
        recorder.record(Operation::Put { key, content, status });
        status
    }

    /// [`Client::get`]
    pub fn get(&self, key: Key, frame: u64, exclusive: bool, memory: &impl GuestPages) -> Status {
        let status = self.client.get(key, frame, exclusive, memory);
        self.record(|| Operation::Get { key, exclusive, status });
        status
    }

    /// [`Client::flush_range`]
    pub fn flush_range(&self, first: Key, count: u64) -> Status {
        let status = self.client.flush_range(first.pool, first.object, first.index, count);
        self.record(|| Operation::FlushRange { first, count, status });
        status
    }

    /// [`Client::flush_object`]
    pub fn flush_object(&self, pool: u32, object: ObjectId) -> Status {
        let status = self.client.flush_object(pool, object);
        self.record(|| Operation::FlushObject { pool, object, status });
        status
    }

    /// [`Client::set_limit`]
    pub fn set_limit(&self, bytes: u64) {
        self.client.set_limit(bytes);
        self.record(|| Operation::SetLimit { bytes });
    }

    /// [`Client::freeze`]
    pub fn freeze(&self) {
        self.client.freeze();
        self.record(|| Operation::Freeze);
    }

    /// [`Client::thaw`]
    pub fn thaw(&self) {
        self.client.thaw();
        self.record(|| Operation::Thaw);
    }

    /// [`Client::flush_ephemeral`]
    pub fn flush_ephemeral(&self, bytes: u64) -> u64 {
        let freed = self.client.flush_ephemeral(bytes);
        self.record(|| Operation::FlushEphemeral { bytes });
        freed
    }
}

fn read(memory: &impl GuestPages, frame: u64) -> Option<Page> {
    let mut page = [0; PAGE_SIZE];
    memory.read_page(frame, &mut page).is_ok().then_some(page)
}
