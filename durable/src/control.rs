//! The control state as rows, now and after any past offset.

use tailrace_model::control::Control;
use tailrace_model::line::StoredEvent;
use tailrace_model::state::{ControlState, Part};

use crate::Failure;
use crate::log;
use crate::sql::Sql;

/// The state as it is now.
pub(crate) fn load<S: Sql>(sql: &S) -> Result<ControlState, Failure> {
    let mut state = ControlState::default();
    for row in sql.run("SELECT part, value FROM state", &[])? {
        state.set_part(row.text(0), row.text(1)).map_err(|error| Failure::Storage(error.to_string()))?;
    }
    Ok(state)
}

/// Writes the parts that a commit changed.
pub(crate) fn save<S: Sql>(sql: &S, state: &ControlState, parts: &[Part]) -> Result<(), Failure> {
    for part in parts {
        match state.part(part) {
            Some(text) => sql.run(
                "INSERT INTO state (part, value) VALUES (?, ?) ON CONFLICT (part) DO UPDATE SET value = excluded.value",
                &[part.name().as_ref().into(), text.as_str().into()],
            )?,
            None => sql.run("DELETE FROM state WHERE part = ?", &[part.name().as_ref().into()])?,
        };
    }
    Ok(())
}

/// Notes that a control event stands at an offset.
pub(crate) fn note<S: Sql>(sql: &S, offset: u64) -> Result<(), Failure> {
    sql.run("INSERT INTO controls (offset) VALUES (?)", &[offset.into()]).map(drop)
}

/// The state after offset `at`: the same fold over the control events up to there.
pub(crate) fn state_at<S: Sql>(sql: &S, at: u64) -> Result<ControlState, Failure> {
    let mut state = ControlState::default();
    if at == 0 {
        return Ok(state);
    }
    // `stream.created` always stands first and needs no note.
    let noted = sql.run("SELECT offset FROM controls WHERE offset <= ? ORDER BY offset", &[at.into()])?;
    let mut reader = log::Reader::default();
    for offset in std::iter::once(1).chain(noted.iter().map(|row| row.number(0))) {
        let Some(stored) = reader.event_at(sql, offset)? else { continue };
        let event = StoredEvent::parse(&stored.line).map_err(|error| Failure::Storage(error.to_string()))?;
        if let Some(control) = Control::read(&event.event_type, event.payload.get()) {
            state.apply(offset, stored.at, &control)?;
        }
    }
    Ok(state)
}
