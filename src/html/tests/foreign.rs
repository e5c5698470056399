//! SVG and MathML, where the parser follows single names and browsers all that is open.

use super::*;

fn refused(html: &str) {
    let result = gate_with(&page(|_| {}), &Limits::default(), html.as_bytes());
    assert!(matches!(result, Err(GateError::Ambiguous { .. })), "{html}: {result:?}");
}

#[test]
fn where_namespaces_are_doubtful_both_readings_must_agree() {
    // After `<svg><svg><hr>`, and after `<svg/>`, browsers are in HTML: there the first end tag
    // counts, self-closing does not, and CDATA is a comment up to the first `>`.
    for html in [
        "<svg><svg><hr><script><!-- </script><script src=//acme.example></script> --></script>",
        "<svg/><style><!-- </style><script src=//acme.example></script>",
        "<svg/><script/>acme('init')</script>",
        "<div><svg></div><script/>acme('init')</script>",
        "<div><svg></div><style><!-- </style><img src=//acme.example>",
        "<math/><![CDATA[ > <img src=//acme.example> ]]>",
        "<noscript><svg/><![CDATA[ > <img src=//acme.example> ]]></noscript>",
        "<math><svg><foreignObject><script/><noscript><img src=//acme.example></noscript>",
    ] {
        let result = gate_with(&page(|_| {}), &Limits::default(), html.as_bytes());
        assert!(matches!(result, Err(GateError::Ambiguous { .. })), "{html}: {result:?}");
    }
    untouched("<svg><svg><title>x</title><style>a{}</style></svg></svg><script>/* <![CDATA[ */ x /* ]]> */</script>");
    untouched("<svg><foreignObject><math><mi>x</mi></math></foreignObject></svg><math><mtext><svg></svg></mtext></math>");
    untouched("<svg viewBox='0 0 1 1'/><style>a{}</style><script>if (a < b) x()</script>");
    check(
        "<noscript><svg><img src=//acme.example><title><img src=//acme.example></title></noscript>",
        "<noscript><svg><img ~~=\"acme:marketing\" ~src=//acme.example><title><img src=//acme.example></title></noscript>",
    );
}

/// What comes after the ways in: to one parser the image is in an attribute, to the other it is not.
const IMAGE: &str = "<script><a title=\"</script><img src=//acme.example>\">";

#[test]
fn content_of_points_that_ends_in_another_way_than_the_parser_has_it_is_refused() {
    for html in [
        "<svg><g><foreignObject></g><title><img src=//acme.example></title>",
        "<math><mrow><mi></mrow><xmp><img src=//acme.example></xmp>",
        "<svg><g><desc></g><style>a{b:url(//acme&period;example)}</style>",
        "<svg><filter><desc></filter/><script>acme&#40'init'</script>",
        "<svg><title><![CDATA[><a title=\"]]><img src=//acme.example>\">",
    ] {
        refused(html);
    }
    for head in [
        "<svg><desc></svg></desc>",
        "<svg><title>x</svg><title>y</title>",
        "<svg><desc><p></desc>",
        "<svg><desc><b></desc>",
        "<svg><foreignObject><title>x</title>",
        "<svg><desc></foreignObject>",
        "<math><mi></mo>",
        "<math><mi><mglyph>",
        "<math><annotation-xml encoding=x encoding=text/html>",
        "<math><annotation-xml encoding=text&sol;html>",
        "<math><annotation-xml><g><svg><desc>",
    ] {
        refused(&format!("{head}{IMAGE}"));
    }
}

#[test]
fn end_tags_that_may_lead_out_of_foreign_content_do_for_whom_they_do() {
    for head in [
        "<p><b>x</p><svg></b>",
        "<span><div></span><svg></div>",
        "<table><td><svg></tr>",
        "<table><td><svg><desc></tr></desc>",
        "<table><tr><td><svg><desc><td></desc>",
        "<table><tr><td><svg><foreignObject><table><table></table></table></foreignObject>",
    ] {
        refused(&format!("{head}{IMAGE}"));
    }
    untouched("<svg><g></g></g></path></svg><script>if (a < b) own('</p>')</script>");
    untouched("<div><a><svg><path d=M0></a></div><script>if (a < b) own('<p>')</script>");
}

#[test]
fn foreign_content_that_is_well_formed_is_read_like_any_other() {
    let script = "<script>if (a < b) own('</p>', '<svg>')</script>";
    for html in [
        "<svg role=img><title>Close</title><path d=M0 /></svg>",
        "<svg><svg><title>a</title></svg><svg><path d=M0></svg></svg>",
        "<svg><title>Close</svg>",
        "<svg><foreignObject><div><p>a<p>b</div><style>a > b { c: d }</style></foreignObject></svg>",
        "<svg><style><![CDATA[ a > b { c: d } ]]></style><script><![CDATA[ a < b ]]></script></svg>",
        "<math><mi>x</mi><mtext>if <b>y</b></mtext><annotation-xml encoding=text/html><p>x</p></annotation-xml></math>",
        "<svg><math><mi>x</mi></math></svg>",
        "<svg><g><div>misplaced</div></g></svg>",
    ] {
        untouched(&format!("<p>{html}{script}<title>x</title>"));
    }
    check(
        "<svg><foreignObject><div><img src=//acme.example></div></foreignObject><image href=//acme.example /></svg>",
        "<svg><foreignObject><div><img ~~=\"acme:marketing\" ~src=//acme.example></div></foreignObject><image \
         ~~=\"acme:marketing\" ~href=//acme.example /></svg>",
    );
}

#[test]
fn a_base_in_foreign_content_is_none() {
    check(
        "<svg><svg/><base href=/></svg></svg><base href=//acme.example/><img src=x>",
        "<svg><svg/><base href=/></svg></svg><base href=//acme.example/><img ~~=\"acme:marketing\" ~src=x>",
    );
    // A template in SVG is none, and ends with the SVG.
    check(
        "<svg><template><p><base href=//acme.example/><img src=x>",
        "<svg><template><p><base href=//acme.example/><img ~~=\"acme:marketing\" ~src=x>",
    );
    refused("<div><template></div><base href=/></template><base href=//acme.example/><img src=x>");
    // It may be one, and another may count.
    refused("<span><div></span><svg></div><base href=/></svg><base href=//acme.example/><img src=x>");
}

#[test]
fn a_noscript_that_leaves_foreign_content_open_is_refused() {
    // Without scripts its end tag is ignored, and the page goes on in the `desc`.
    refused("<noscript><svg><desc><div></noscript></div></desc><p>x");
}
