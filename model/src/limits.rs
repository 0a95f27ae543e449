//! Every limit of the system, in one place.

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// The finished line of one event, in bytes. Also the largest value a table holds.
pub const EVENT_BYTES: usize = MIB;
/// Events in one batch.
pub const BATCH_EVENTS: usize = 1_000;
/// The body of one batch, in bytes.
pub const BATCH_BYTES: usize = 8 * MIB;
/// The body of one hook request, in bytes.
pub const HOOK_BYTES: usize = 25 * MIB;
/// Up to here a hook's body stands in the event itself: the finished line, in bytes.
pub const HOOK_LINE_BYTES: usize = 256 * KIB;
/// One stored piece of a hook's exact bytes.
pub const RAW_CHUNK_BYTES: usize = MIB;
/// Characters of an event type.
pub const TYPE_CHARS: usize = 256;
/// Characters of an idempotency key.
pub const KEY_CHARS: usize = 256;
/// Bytes of an event's or a stream's metadata.
pub const METADATA_BYTES: usize = 64 * KIB;
/// Depth to which arrays and objects may nest in an event's payload.
pub const JSON_DEPTH: usize = 64;
/// Bytes of a stream's path.
pub const PATH_BYTES: usize = 1_000;
/// Segments of a stream's path.
pub const PATH_SEGMENTS: usize = 16;
/// Characters of one segment.
pub const SEGMENT_CHARS: usize = 128;
/// Events on one page, and how many when nothing is said.
pub const PAGE_EVENTS: u64 = 1_000;
/// Events on a page when the reader names no limit.
pub const PAGE_EVENTS_DEFAULT: u64 = 500;
/// Bytes of one page.
pub const PAGE_BYTES: usize = 8 * MIB;
/// Log rows that one filtered page looks at before it answers with what it has.
pub const PAGE_SCAN_ROWS: u64 = 50_000;
/// Log rows that are looked at for the next event of a subscription, before the cursor moves on.
pub const LEASE_SCAN_ROWS: u64 = 10_000;
/// Log rows that are looked at, from the end, for the last events that match.
pub const LAST_SCAN_ROWS: u64 = 1_000_000;
/// Seconds a long poll may wait.
pub const WAIT_SECONDS: u64 = 60;
/// Live readers of one stream.
pub const LIVE_READERS: usize = 1_000;
/// A live frame carries its events' text up to this size; above, only the new head.
pub const FRAME_BYTES: usize = 64 * KIB;
/// What may wait for one slow live reader before its frames are dropped.
pub const READER_BACKLOG_BYTES: usize = MIB;
/// Hooks waiting to be let in.
pub const PARKED_HOOKS: u64 = 1_000;
/// Bytes of hooks waiting to be let in.
pub const PARKED_BYTES: u64 = 32 * MIB as u64;
/// Hops a chain of causes may take from stream to stream.
pub const HOPS: u32 = 32;
/// The breaker's limit when nothing is configured: events per window.
pub const BREAKER_LIMIT: u64 = 100;
/// The breaker's window when nothing is configured.
pub const BREAKER_WINDOW_MS: u64 = 1_000;
/// The largest limit a breaker can be given (`null` turns it off).
pub const BREAKER_LIMIT_MAX: u64 = 1_000_000;
/// The longest window a breaker can be given.
pub const BREAKER_WINDOW_MS_MAX: u64 = 60_000;
/// Children on one page of a listing.
pub const CHILDREN: u64 = 1_000;
/// Children on one page when nothing is said.
pub const CHILDREN_DEFAULT: u64 = 100;
/// Children on one page of a listing with details.
pub const CHILDREN_DETAILED: u64 = 50;
/// Bytes of a pause's reason.
pub const REASON_BYTES: usize = 4 * KIB;
/// Subscriptions of one stream.
pub const SUBSCRIPTIONS: usize = 100;
/// Schedules of one stream.
pub const SCHEDULES: usize = 1_000;
/// So many of the next occurrences of a schedule are told.
pub const RUNS_TOLD: usize = 3;
/// Of more schedules in a stream only the next occurrence of each is told: one of cron takes some 50 µs.
pub const SCHEDULES_TOLD_AHEAD: usize = 100;
/// The event of a schedule, in bytes.
pub const SCHEDULED_EVENT_BYTES: usize = 256 * KIB;
/// The shortest time between two occurrences of a schedule.
pub const SCHEDULE_EVERY_MS_MIN: u64 = 1_000;
/// The longest: 100 years.
pub const SCHEDULE_SPAN_MS_MAX: u64 = 36_525 * 86_400_000;
/// Bytes of a cron expression, or of a zone's name.
pub const CRON_BYTES: usize = 256;
/// No instant is later than the year 9999, the last that RFC 3339 can write.
pub const LATEST_MS: i64 = 253_402_300_800_000;
/// Events in one delivery when nothing is said.
pub const SUBSCRIPTION_BATCH_DEFAULT: u64 = 100;
/// Bytes of the events in one delivery; one event at least.
pub const DELIVERY_BYTES: usize = MIB;
/// Bytes of a subscription's state.
pub const STATE_BYTES: usize = 256 * KIB;
/// Bytes of a CEL condition.
pub const CONDITION_BYTES: usize = KIB;
/// Bytes of a target's URL.
pub const URL_BYTES: usize = 2 * KIB;
/// Headers that a subscription may set, and their bytes together.
pub const PUSH_HEADERS: usize = 32;
/// Bytes of the headers that a subscription sets.
pub const PUSH_HEADERS_BYTES: usize = 8 * KIB;
/// Milliseconds to the last byte of a push's answer when nothing is said.
pub const PUSH_TIMEOUT_MS: u64 = 15_000;
/// The longest that can be said.
pub const PUSH_TIMEOUT_MS_MAX: u64 = 25_000;
/// Bytes of a push's answer that are read.
pub const ANSWER_BYTES: usize = MIB;
/// Seconds for which a lease is given when nothing is said.
pub const LEASE_SECONDS: u64 = 30;
/// The longest a lease is given for.
pub const LEASE_SECONDS_MAX: u64 = 600;
/// The last attempts that are kept of a subscription.
pub const ATTEMPTS_KEPT: usize = 20;
/// Events of one subscription that wait for other streams: no more is delivered to it until some have landed.
pub const OUTBOX_WAITING: u64 = 1_000;
/// A cursor that moved without a delivery is written when it is so far ahead of its row.
pub const CURSOR_SAVED_EVERY: u64 = 1_000;
/// Sources of hooks of one stream.
pub const WEBHOOKS: usize = 100;
/// Bytes of what configures a source of hooks.
pub const WEBHOOK_BYTES: usize = 16 * KIB;
/// A text made of a template is filled until it has so many bytes.
pub const FILLED_BYTES: usize = 16 * KIB;
/// The body of a hook that is held because its source's definition looks into it.
pub const HOOK_HELD_BYTES: usize = MIB;
/// Bytes of what a model is told before everything else.
pub const SYSTEM_BYTES: usize = 256 * KIB;
/// Bytes of what an agent's requests say beside the conversation.
pub const OPTIONS_BYTES: usize = 16 * KIB;
/// How long an agent waits for more input before it answers, when nothing is said.
pub const DEBOUNCE_MS: u64 = 250;
/// Turns of a model in one chain of causes, when nothing is said.
pub const TURNS: u64 = 20;
/// Levels of sub-agents below an agent, when nothing is said.
pub const AGENT_DEPTH: u64 = 3;
/// Milliseconds that a call of a model may take as a whole, when nothing is said.
pub const MODEL_TOTAL_MS: u64 = 300_000;
/// The longest that can be said: the platform ends what an alarm does after 15 minutes.
pub const MODEL_TOTAL_MS_MAX: u64 = 840_000;
/// Milliseconds that may pass until something comes of a model's answer, when nothing is said.
pub const MODEL_IDLE_MS: u64 = 60_000;
/// Milliseconds that a call of a tool may take, when nothing is said.
pub const TOOL_TIMEOUT_MS: u64 = 600_000;
/// The longest that can be said.
pub const TOOL_TIMEOUT_MS_MAX: u64 = 86_400_000;
/// Tools that are configured in one stream.
pub const TOOLS: usize = 100;
/// Bytes of what configures a tool.
pub const TOOL_BYTES: usize = 64 * KIB;
/// Bytes of a source of hosted JavaScript.
pub const SOURCE_BYTES: usize = MIB;
/// How often hosted JavaScript is configured within a minute.
pub const SOURCES_A_MINUTE: usize = 10;
/// Bytes of what `read_stream` tells a model.
pub const TOLD_BYTES: usize = 64 * KIB;
