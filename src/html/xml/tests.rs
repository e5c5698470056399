//! The XML gate at its door.
