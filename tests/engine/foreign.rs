//! SVG and MathML: what the parser loses track of must not let a tag through, and what people write must not be
//! refused.

use proptest::{prelude::*, sample::select};

use crate::{
    check_chunks, check_closure, check_completeness, check_identity, check_inverse,
    world::{Grant, gate},
};

/// What loads in a browser, and how one parser or the other takes it for text.
const TAILS: [&str; 8] = [
    "<script><a title=\"</script><img src=//acme.example>\">",
    "<title><img src=//acme.example></title>",
    "<xmp><img src=//acme.example></xmp>",
    "<style>a{b:url(//acme&period;example)}</style>",
    "<script>acme&#40'init'</script>",
    "<![CDATA[><a title=\"]]><img src=//acme.example>\">",
    "<noscript><img src=//acme.example></noscript>",
    "<base href=/own/></svg></math><base href=//acme.example/><img src=x>",
];

/// Ways into foreign content after which parsers part.
const HEADS: [&str; 72] = [
    "<form><svg><foreignObject><form></foreignObject></mi><title></foreignObject>",
    "<button><svg><desc><frameset><math></svg><select><math><style></style><style><option>",
    "<svg/><select><style></style><style><option>",
    "<foreignObject><math><annotation-xml encoding=text/html><svg><tr></g><td></foreignObject>",
    "<foo><svg><desc></foo>",
    "<svg><template><p>",
    "<svg><filter><desc></filter/>",
    "<svg><g><foreignObject></g>",
    "<math><mrow><mi></mrow>",
    "<svg><g><desc></g>",
    "<svg><desc></svg></desc>",
    "<svg><title>x</svg><title>y</title>",
    "<svg><desc><p></desc>",
    "<svg><desc><b></desc>",
    "<svg><desc><desc></desc>",
    "<svg><foreignObject><title>x</title>",
    "<svg><desc></foreignObject>",
    "<math><mi></mo>",
    "<math><mi><mi></mi>",
    "<svg><desc><p></desc></svg></p></desc>",
    "<svg><title>x</svg>",
    "<svg><foreignObject><svg><title></title></svg></foreignObject></svg>",
    "<svg><desc></p>",
    "<svg><g></p>",
    "<svg><desc>x</desc>",
    "<p><b>x</p><svg></b>",
    "<span><div></span><svg></div>",
    "<table><td><svg></tr>",
    "<table><td><svg><desc></tr></desc>",
    "<table><tr><td><svg><desc><td>",
    "<table><tr><td><svg><desc><td></desc>",
    "<table><tr><td><svg><foreignObject></table></foreignObject>",
    "<table><tr><td><svg><foreignObject><table><table></table></table>",
    "<table><tr><td><svg><foreignObject><table><div><table></table></div></table></foreignObject>",
    "<math><annotation-xml encoding=text&sol;html>",
    "<math><annotation-xml encoding=x encoding=text/html>",
    "<math><annotation-xml encoding=text/html encoding=x>",
    "<math><annotation-xml encoding=text/html><svg><p>",
    "<math><annotation-xml><g><svg><desc>",
    "<math><annotation-xml><svg><desc>",
    "<math><annotation-xml><svg></svg>",
    "<math><mi><mglyph>",
    "<math><mi><malignmark></mi>",
    "<math><mtext><svg><desc></mtext>",
    "<svg><math><mi>",
    "<math><svg><desc>",
    "<svg><desc>",
    "<math><mi>",
    "<svg><svg/>",
    "<svg/>",
    "<svg><desc><svg/></desc></svg>",
    "<svg><svg></svg>",
    "<svg><foreignObject><select></foreignObject>",
    "<svg><foreignObject><select><input></foreignObject>",
    "<select><svg>",
    "<svg><desc><frameset></desc>",
    "<svg><desc><frameset></desc><frame src=//acme.example>",
    "<svg><foreignObject><template></foreignObject></template>",
    "<template><svg><desc></template>",
    "<template><svg></template>",
    "<div><table><tr><td><svg></div><desc></svg></desc>",
    "<svg><foreignObject><p><b></p></foreignObject>",
    "<svg><foreignObject><div><b></div>x</foreignObject>",
    "<svg><foreignObject><form><form></foreignObject></form>",
    "<form><svg><foreignObject><form></foreignObject>",
    "<svg><foreignObject><a><a></a></foreignObject>",
    "<svg><foreignObject><h1></h2></foreignObject>",
    "<svg><foreignObject><p><ul></foreignObject>",
    "<svg><foreignObject><noscript></foreignObject></noscript>",
    "<svg><font color=x>",
    "<svg><g><font size=1></g></font>",
    "<noscript><div><svg><desc><div></noscript></div></desc>",
];

#[test]
fn where_the_parser_loses_the_namespace_nothing_gets_through() {
    let mut refused = 0;
    for head in HEADS {
        for tail in TAILS {
            for end in ["", "</desc></foreignObject></svg></math></table>"] {
                let page = format!("{head}{tail}{end}");
                check_identity(head, page.as_bytes());
                check_chunks(head, page.as_bytes());
                check_closure(head, page.as_bytes(), true);
                check_completeness(head, page.as_bytes());
                refused += usize::from(gate(page.as_bytes(), Grant::Nothing).is_err());
            }
        }
    }
    assert!(refused > 100, "these pages are at odds with the parser: only {refused} are refused");
}

/// Foreign content as people and their tools write it.
const WRITTEN: [&str; 40] = [
    "<svg viewBox=\"0 0 24 24\"><path d=\"M0 0h24v24H0z\"/></svg>",
    "<svg><path d=M0></svg>",
    "<svg><path d=M0></path><circle r=1 /></svg>",
    "<svg role=img><title>Close</title><path d=M0 /></svg>",
    "<svg role=img><title>Close</title><desc>A cross &amp; a line</desc><g><path d=M0></g></svg>",
    "<svg><title/><path/></svg>",
    "<svg style=display:none><symbol id=a><title>A</title><path d=M0 /></symbol><symbol id=b><path d=M0 /></symbol></svg>",
    "<svg><use xlink:href=#a></use></svg>",
    "<svg><use href=#a></svg>",
    "<svg><defs><linearGradient id=a><stop offset=0 /></linearGradient><filter id=f><feGaussianBlur/></filter></defs></svg>",
    "<svg><style>.a{fill:red}</style><g class=a></g></svg>",
    "<svg><style><![CDATA[ .a > .b { fill: red } ]]></style><g/></svg>",
    "<svg><style type=text/css>.a &gt; .b { fill: red }</style></svg>",
    "<svg><script>if (a &lt; b) own()</script></svg>",
    "<svg><script><![CDATA[ if (a < b && c) own() ]]></script></svg>",
    "<svg><!-- <g> old </g> --><path/></svg>",
    "<svg><foreignObject width=10 height=10><div xmlns=http://www.w3.org/1999/xhtml><span class=l>Text<br/>more</span></div></foreignObject></svg>",
    "<svg><switch><foreignObject><div><p>One</p><p>Two</p></div></foreignObject><text>Text</text></switch></svg>",
    "<svg><foreignObject><body xmlns=http://www.w3.org/1999/xhtml><p>x</p></body></foreignObject></svg>",
    "<svg><foreignObject><ul><li>a<li>b</ul><table><tbody><tr><td>x</td></tr></tbody></table></foreignObject></svg>",
    "<svg><foreignObject><form><label>a <input name=a></label><select><option>1</option><option>2</option></select><textarea></textarea><button>x</button></form></foreignObject></svg>",
    "<svg><foreignObject><style>.a > b { c: d }</style><script>if (a < b) own('<p>')</script><b>x</b></foreignObject></svg>",
    "<svg><foreignObject><div><svg><title>Inner</title><path/></svg></div></foreignObject></svg>",
    "<svg><svg x=1><path/></svg><svg y=1><title>x</title></svg></svg>",
    "<svg><a href=/x><text>link</text></a></svg>",
    "<svg><text><tspan>a</tspan> b</text><image href=/own.png /></svg>",
    "<svg class=icon />",
    "<a href=/><svg class=icon /></a>",
    "<button><svg><path d=M0></button>",
    "<a href=/><svg><use href=#x /></a>",
    "<svg><g><path/></g></g></svg>",
    "<svg><path/></path></svg>",
    "<svg><g><div>misplaced</div></g></svg>",
    "<svg><p>misplaced</p></svg>",
    "<svg><title>Close</svg>",
    "<math><mi>x</mi><mo>=</mo><mfrac><mrow><mn>1</mn><mo>&lt;</mo></mrow><mi>b</mi></mfrac></math>",
    "<math display=block><semantics><mrow><mi>x</mi><mtext>if <b>y</b></mtext></mrow><annotation encoding=application/x-tex>x</annotation></semantics></math>",
    "<math><semantics><mi>x</mi><annotation-xml encoding=application/xhtml+xml><p>x</p></annotation-xml></semantics></math>",
    "<math><semantics><mi>x</mi><annotation-xml encoding=MathML-Content><apply><ci>x</ci></apply></annotation-xml></semantics></math>",
    "<table><tr><td><svg><title>a</title></svg></td><td><math><mi>x</mi></math></td></tr></table>",
];

/// The rest of a page, before and after it.
const AROUND: [(&str, &str); 4] = [
    ("", "<p>x</p><script>if (a < b && c) document.title = '<p>'</script>"),
    (
        "<!doctype html><html><head><title>T</title></head><body><nav><ul><li>",
        "</ul></nav><h1>T</h1><style>a > b { c: d }</style><textarea><b></textarea></body></html>",
    ),
    ("<p>text <b>bold ", "</b> more</p><noscript><p>x</p></noscript><iframe title='<p>'></iframe>"),
    ("<div class=card><span>", "</span></div><footer><script>own('</p>')</script><script src=/a.js></script></footer>"),
];

#[test]
fn foreign_content_as_it_is_written_is_not_refused() {
    for (before, after) in AROUND {
        for written in WRITTEN {
            check_passes(&format!("{before}{written}{after}"));
        }
        check_passes(&format!("{before}{}{after}", WRITTEN.concat()));
        check_passes(&format!("{before}{}{after}", WRITTEN.map(|written| format!("<li>{written}</li>")).concat()));
    }
}

fn check_passes(page: &str) {
    let gated = gate(page.as_bytes(), Grant::Nothing);
    assert!(gated.is_ok(), "refused: {:?}\n{page}", gated.err());
    check_identity(page, page.as_bytes());
    check_chunks(page, page.as_bytes());
    check_inverse(page, page.as_bytes());
}

const PIECES: [&str; 60] = [
    "<svg>",
    "</svg>",
    "<svg/>",
    "<math>",
    "</math>",
    "<desc>",
    "</desc>",
    "<title>",
    "</title>",
    "<foreignObject>",
    "</foreignObject>",
    "<mi>",
    "</mi>",
    "<mtext>",
    "</mtext>",
    "<annotation-xml encoding=text/html>",
    "<annotation-xml>",
    "</annotation-xml>",
    "<mglyph>",
    "<g>",
    "</g>",
    "<div>",
    "</div>",
    "<span>",
    "</span>",
    "<b>",
    "</b>",
    "<a>",
    "</a>",
    "<p>",
    "</p>",
    "</br>",
    "<br>",
    "<li>",
    "</li>",
    "<h1>",
    "</h2>",
    "<button>",
    "</button>",
    "<form>",
    "</form>",
    "<table>",
    "</table>",
    "<td>",
    "<tr>",
    "</td>",
    "</tr>",
    "<caption>",
    "<select>",
    "</select>",
    "<option>",
    "<template>",
    "</template>",
    "<script>",
    "</script>",
    "<style>",
    "</style>",
    "<!--",
    "-->",
    "x",
];

proptest! {
    // For a hunt: a million, some minutes.
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_open_nothing_gets_through(
        pieces in proptest::collection::vec(select(&PIECES[..]), 1..12),
        tail in select(&TAILS[..]),
    ) {
        let page = format!("{}{tail}", pieces.concat());
        check_closure("foreign", page.as_bytes(), true);
        check_chunks("foreign", page.as_bytes());
    }

    #[test]
    fn what_is_written_after_each_other_passes(
        pieces in proptest::collection::vec((select(&WRITTEN[..]), select(&["<p>x</p>", "<div>", "</div>", "<li>", "text", "<br>"][..])), 1..20),
    ) {
        let pieces: String = pieces.into_iter().map(|(written, between)| format!("{written}{between}")).collect();
        check_passes(&format!("<!doctype html><title>x</title>{pieces}<p>x</p><script>if (a < b) own('</p>')</script>"));
    }
}
