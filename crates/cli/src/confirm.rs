//! Asking before something is gone for good.

use std::io::{BufRead, IsTerminal, Write};

use crate::exit::Failure;

/// Returns if `yes` was given, or if the person at the terminal types `name` again.
///
/// # Errors
/// Usage, if there is neither `--yes` nor a terminal; failure, if something else was typed.
pub fn by_name(what: &str, name: &str, yes: bool) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage(format!("{what} needs --yes where nobody can be asked")));
    }
    let mut stderr = std::io::stderr();
    let asked = write!(stderr, "{what}: this cannot be undone. Type the name to go on: ")
        .and_then(|()| stderr.flush());
    let mut typed = String::new();
    asked
        .and_then(|()| stdin.lock().read_line(&mut typed))
        .map_err(|source| Failure::Io { what: "asking on the terminal".to_owned(), source })?;
    if typed.trim() == name {
        Ok(())
    } else {
        Err(Failure::Failed(format!("{what}: not done, the name differs")))
    }
}
