"""README and docs: plain English by the linter's rules, a complete glossary, and links to headings that exist."""

import ast
import re
from pathlib import Path

import pytest

from tests.prose import PAGES, ROOT, prose_faults

GLOSSARY = (ROOT / "docs" / "glossary.md").read_text()
DOMAIN = sorted((ROOT / "service" / "eventfeed" / "domain").glob("*.py"))
QUESTION_WORDS = ["What", "Whether", "Who", "Whose", "How"]


def rows(heading: str) -> list[str]:
    """The rows of the table below a heading of the glossary."""
    section = GLOSSARY.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def first_cells(heading: str) -> list[str]:
    """Every code span in the first column of the table below a heading."""
    return [code for row in rows(heading) for code in re.findall(r"`([^`]+)`", row.split("|")[1])]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def faulty_sentences(tmp_path: Path, *sentences: str) -> set[int]:
    """The numbers of the sentences, from 0, in which the linter finds a fault."""
    page = tmp_path / "page.md"
    page.write_text("\n\n".join(sentences) + "\n")
    lines = re.findall(rf"^{re.escape(str(page))}:(\d+):", prose_faults([page]), re.MULTILINE)
    return {int(line) // 2 for line in lines}


def test_prose_of_readme_and_docs_has_no_fault() -> None:
    """The linter accepts short sentences with standard words."""
    assert "" == prose_faults()


def test_linter_refuses_each_word_that_the_glossary_avoids(tmp_path: Path) -> None:
    """The rules and the glossary's table agree."""
    words = first_cells("Words to avoid")
    faults = faulty_sentences(tmp_path, *(f"The sentence contains {word} as a word." for word in words))

    assert len(words) > 30
    assert [] == [word for number, word in enumerate(words) if number not in faults]


def test_linter_refuses_sentences_that_begin_with_a_question_word(tmp_path: Path) -> None:
    """This holds in a paragraph, after another sentence, and in a heading."""
    sentences = [f"{word} has a receipt is durable." for word in QUESTION_WORDS]
    sentences += [f"It is short. {word} reads a page waits." for word in QUESTION_WORDS]
    sentences += [f"## {word} is stored" for word in QUESTION_WORDS]

    assert set(range(len(sentences))) == faulty_sentences(tmp_path, *sentences)


def test_linter_refuses_a_long_sentence_and_accepts_a_short_one(tmp_path: Path) -> None:
    """The limit is about thirty words."""
    long, short = "The service " + "stores and " * 30 + "returns events.", "The service stores and returns events."

    assert {0} == faulty_sentences(tmp_path, long, short)


def test_glossary_explains_every_public_class_of_the_domain() -> None:
    """A class has a row, and each row has a class."""
    classes = {
        node.name
        for file in DOMAIN
        for node in ast.parse(file.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }

    assert classes == set(first_cells("Classes of the domain"))


@pytest.mark.parametrize("heading", ["Terms", "Classes of the domain"])
def test_glossary_lists_each_word_once_in_order(heading: str) -> None:
    """Each word has one meaning."""
    words = [row.split("|")[1].strip(" `").casefold() for row in rows(heading)]

    assert len(words) > 30
    assert sorted(set(words)) == words


@pytest.mark.parametrize("page", [*PAGES, *sorted(ROOT.glob("*.md"))], ids=lambda page: page.name)
def test_links_to_headings_lead_to_a_heading(page: Path) -> None:
    """The heading is in the same page or in another."""
    links = re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text())
    pages = [(page.parent / target if target else page, anchor) for target, anchor in links]
    broken_links = [f"{target.name}#{anchor}" for target, anchor in pages if anchor not in anchors(target)]

    assert [] == broken_links


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """The paths are relative to the project, or to the package of the service."""
    file_names = re.findall(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|sql|yaml|yml|json|sh|xml|md))`", page.read_text())
    roots = (ROOT, ROOT / "service" / "eventfeed")

    assert [] == [name for name in file_names if not any((root / name).exists() for root in roots)]
