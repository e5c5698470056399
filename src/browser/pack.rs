//! Script text as it is sent: without comment lines, indentation and empty lines. By line and not by
//! token, so that what an operator writes cannot be misread; hence no template literal spans lines.

/// One function around the texts, run at once: nothing of it is a global.
pub(super) fn function(head: &str, texts: &[&str]) -> String {
    let mut out = String::from("(()=>{'use strict';");
    out.push_str(head);
    for text in texts {
        out.push('\n');
        out.push_str(&lines(text));
    }
    out.push_str("})();\n");
    out
}

/// The text's lines that do something.
pub(super) fn lines(text: &str) -> String {
    let kept = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    kept.fold(String::with_capacity(text.len()), |mut out, line| {
        out.push_str(line);
        out.push('\n');
        out
    })
}
