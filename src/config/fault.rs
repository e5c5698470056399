//! A fault in a file that people edit: where it is, what is wrong, how to mend it.

use std::fmt;

/// One fault in one file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fault {
    /// The file, as the operator named it.
    pub file: String,
    /// Line, counted from 1; 0 where the file as a whole is at fault.
    pub line: usize,
    /// Column in characters, counted from 1; 0 where the file as a whole is at fault.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: String,
}

impl Fault {
    /// A fault of a whole file, or of a file that is not there.
    pub fn whole(file: &str, message: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message: message.into(), mend: mend.into() }
    }

    /// A fault at a byte offset of a file's text.
    pub fn at(file: &str, text: &str, offset: usize, message: impl Into<String>, mend: impl Into<String>) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
            message: message.into(),
            mend: mend.into(),
        }
    }
}

/// A place in a file that people edit, kept for what turns out to be at fault only later.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, as the operator named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
}

impl Place {
    /// A fault at this place.
    pub fn fault(&self, message: impl Into<String>, mend: impl Into<String>) -> Fault {
        Fault { file: self.file.clone(), line: self.line, column: self.column, message: message.into(), mend: mend.into() }
    }
}

/// `file:line:column: message` and the mend on a line of its own.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if !self.mend.is_empty() {
            write!(f, "\n    mend: {}", self.mend)?;
        }
        Ok(())
    }
}
