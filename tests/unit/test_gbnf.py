"""Grammars that llama.cpp must never see are refused with words; what it takes is let through."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gogrid_desktop.core import gbnf

GOOD = [
    'root ::= "yes" | "no"',
    'root ::= [a-z]+ [^\\]\\n]* . "\\x41\\u0041\\U00000041\\t"',
    'root::="a"',
    '# a comment\nroot ::= (\n  item "," # another\n  |\n  [0-9]{2}\n)* \n\nitem ::= "x"{1,3} | "y"{2,}\r\n',
    'root ::= a\na ::= "x" |\n "y"',
    'root ::= item ("," item)*\nitem ::= "(" root ")" | "a"',
    "root ::= [] | [-a] | [a-]",
    'root ::= ("a"?)* "b"',
    "root ::= ([ \\t\\n]*)*",
    'root ::= "a"{2000}',
    'root ::= | "a"',
    'root ::= "é🙂" [à-ü]',
    'root ::= "a" root | ""',
]


@pytest.mark.parametrize("text", GOOD)
def test_a_grammar_as_people_write_it_passes(text: str) -> None:
    gbnf.check(text)


BAD = [
    ("", "The grammar has no rule named root; name the rule for the whole answer so."),
    ('answer ::= "a"', "no rule named root"),
    ("root ::= item", "The grammar refers to a rule item that it does not have."),
    ('root = "a"', "The grammar needs ::= in line 1, and there is '= \"a\"'."),
    ('root ::= "a', "The grammar needs a character or the end of the text in line 1, and the grammar ends."),
    ('\n\nroot ::= "\\q"', "in line 3"),
    ('root ::= "\\x4"', "a character"),
    ('root ::= "a\0"', "a character"),
    ("root ::= [a", "the end of the class"),
    ("root ::= [a-", "the end of a range"),
    ('root ::= ("a"', "needs ) in line 1, and the grammar ends"),
    ('root ::= "a")', "the end of the line in line 1, and there is ')'"),
    ('root ::= "a" = "b"', "the end of the line"),
    ("root ::= *", "the end of the line"),
    ('root ::= "" *', "something before the repetition"),
    ('root ::= "a"{', "a repetition such as {2}, {2,} or {2,5}"),
    ('root ::= "a"{,3}', "a repetition such as"),
    ('root ::= "a"{3,1}', "at least 3 and at most 1 times"),
    ("root ::= <think>", "refers to a token in line 1: that is not offered"),
    ("root ::= !<[5]>", "refers to a token"),
    ('root ::= "a" |\n| ::= "b"', "the end of the line"),
]


@pytest.mark.parametrize(("text", "words"), BAD)
def test_what_does_not_parse_is_refused_with_the_line_and_what_is_missing(text: str, words: str) -> None:
    with pytest.raises(gbnf.GrammarError) as caught:
        gbnf.check(text)
    assert words in str(caught.value)


HARMFUL = [
    ("a rule that begins with itself", 'root ::= root "a" | "b"', "The rule root can begin with itself"),
    ("by way of another", 'root ::= a\na ::= b "x"\nb ::= a | "y"', "can begin with itself"),
    ("behind what may be empty", 'root ::= n root "x" | "y"\nn ::= m m\nm ::= "a"?', "The rule root can begin with"),
    ("behind an empty text", 'root ::= "" root', "The rule root can begin with itself"),
    ("inside a group", 'root ::= ("a"* (root | "b"))+', "can begin with itself"),
    ("a million times", 'root ::= "a"{1000000}', "repeats 1,000,000 times in line 1"),
    ("a million times at most", 'root ::= "a"{0,1000000}', "at most 2,000 together are allowed"),
    ("repetitions in each other", 'root ::= "a"{100}{100}', "what counts 100 times"),
    ("a long text a thousand times", f'root ::= "{"a" * 1000}"{{1000}}', "too large"),
    ("groups in each other", f'root ::= {"(" * 65}"a"{")" * 65}', "more than 64 groups in each other"),
    ("thousands of rules", "root ::= a\n" + 'a ::= "x"{0,1500} "y"{0,1500} "z"{0,1500}', "may have 4,000 rules"),
    ("too long", 'root ::= "a" #' + "x" * 40_000, "at most 32,768 are allowed"),
    ("empty parts in a row", 'root ::= ("a"?){0,1000}', "too many ways at once"),
    ("empty parts in each other", 'root ::= (("a"?){0,20}){0,20}', "too many ways at once"),
    ("too many beginnings", "root ::= " + " | ".join(f'"{i}"' for i in range(1001)), "more than 1,000 ways"),
]


@pytest.mark.parametrize(("text", "words"), [case[1:] for case in HARMFUL], ids=[case[0] for case in HARMFUL])
def test_what_would_stall_or_end_the_process_is_refused(text: str, words: str) -> None:
    with pytest.raises(gbnf.GrammarError) as caught:
        gbnf.check(text)
    assert words in str(caught.value)


@given(st.text(alphabet='ro:=|()[]{}*+?"\\ab,2\n #<.-^', max_size=60))
def test_any_text_passes_or_is_refused_with_a_sentence(text: str) -> None:
    try:
        gbnf.check(f"root ::= {text}")
    except gbnf.GrammarError as error:
        assert str(error)[0].isupper()
        assert str(error).endswith(".")
