"""From words to the syntax tree (RFC 4506 §6.3, RFC 5531 §12.2), by recursive descent.

Beyond the RFCs as rpcgen takes it: `unsigned` alone, char, short and long, `struct` before the name of a type,
arguments and results that are strings, pointers or arrays, and names that begin with an underscore.
"""

from typing import Final

from stack.rpc.x.tokens import Kind, Token
from stack.rpc.x.tree import (
    Arm,
    Constant,
    Declaration,
    Enumeration,
    Form,
    ProcedureDef,
    ProgramDef,
    Specification,
    Structure,
    Typedef,
    TypeName,
    Union,
    Value,
    VersionDef,
)

MAX_NESTING: Final = 50

_INTEGERS: Final = frozenset({"char", "short", "int", "long", "hyper"})
_KEYWORDS: Final = _INTEGERS | frozenset({
    "bool", "case", "const", "default", "double", "enum", "float", "opaque", "program", "quadruple", "string", "struct",
    "switch", "typedef", "union", "unsigned", "version", "void",
})  # fmt: skip
_TYPE_WORDS: Final = _INTEGERS | frozenset({"bool", "float", "double", "quadruple", "opaque", "string"})


class Parser:
    """Reads a file's words, of which the last is an END."""

    __slots__ = ("_depth", "_next", "_tokens")

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._depth = 0

    def specification(self) -> Specification:
        """All of the file.  Raises InterfaceError."""
        found = Specification()
        while self._peek().kind is not Kind.END:
            token = self._take()
            match token.text if token.kind is Kind.NAME else "":
                case "const":
                    name = self._name("a name for the constant")
                    self._expect("=")
                    found.definitions.append(Constant(name.text, name.at, self._value(";")))
                case "typedef":
                    declared = self._declaration()
                    if declared.form is Form.VOID:
                        raise token.at.error("a typedef cannot be void")
                    found.definitions.append(Typedef(declared.name, declared.at, declared))
                case "enum":
                    found.definitions.append(self._enumeration(self._name("a name for the enum")))
                case "struct":
                    found.definitions.append(self._structure(self._name("a name for the struct")))
                case "union":
                    found.definitions.append(self._union(self._name("a name for the union")))
                case "program":
                    found.programs.append(self._program())
                    continue  # which ends with its own ;
                case _:
                    raise token.at.error(
                        f"a definition begins with const, typedef, enum, struct, union or program, not with {token}"
                    )
            if not isinstance(found.definitions[-1], Constant):
                self._expect(";")
        return found

    # -- words

    def _peek(self, ahead: int = 0) -> Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> Token:
        token = self._peek()
        if token.kind is not Kind.END:
            self._next += 1
        return token

    def _is(self, text: str) -> bool:
        token = self._peek()
        return token.text == text and token.kind in {Kind.MARK, Kind.NAME}

    def _accept(self, text: str) -> bool:
        if self._is(text):
            self._next += 1
            return True
        return False

    def _expect(self, text: str) -> Token:
        token = self._take()
        if token.text != text or token.kind not in {Kind.MARK, Kind.NAME}:
            raise token.at.error(f'"{text}" is expected, not {token}')
        return token

    def _name(self, what: str = "a name") -> Token:
        token = self._take()
        if token.kind is not Kind.NAME:
            raise token.at.error(f"{what} is expected, not {token}")
        if token.text in _KEYWORDS:
            raise token.at.error(f"{what} is expected, but {token} is a word of the language")
        return token

    def _value(self, *stops: str) -> Value:
        """The words of an expression up to one of the marks, which is taken too unless it ends a block."""
        found: Value = []
        nested = choices = 0
        while True:
            token = self._peek()
            if token.kind is Kind.MARK:
                if token.text in stops and not nested and not (token.text == ":" and choices):
                    break
                choices += (token.text == "?") - (token.text == ":")
                nested += (token.text == "(") - (token.text == ")")
            if token.kind is Kind.END or (token.kind is Kind.MARK and token.text in {"{", "}", ";"}):
                expected = " or ".join(f'"{stop}"' for stop in stops)
                raise token.at.error(f"{expected} is expected, not {token}")
            found.append(self._take())
        found.append(Token(Kind.END, "", token.at))
        if len(found) == 1:
            raise token.at.error(f"a value is expected, not {token}")
        if token.text != "}":
            self._next += 1
        return found

    # -- definitions

    def _enumeration(self, name: Token) -> Enumeration:
        self._expect("{")
        members: list[tuple[Token, Value | None]] = []
        while True:
            member = self._name("a name for the value")
            value = None
            if self._accept("="):
                value = self._value(",", "}")
                self._next -= self._tokens[self._next - 1].text == ","
            members.append((member, value))
            if not self._accept(","):
                break
            if self._is("}"):  # as in C99
                break
        self._expect("}")
        return Enumeration(name.text, name.at, members)

    def _structure(self, name: Token) -> Structure:
        self._expect("{")
        members: list[Declaration] = []
        while not self._accept("}"):
            member = self._declaration()
            if member.form is Form.VOID:
                raise member.at.error("a member of a struct cannot be void")
            members.append(member)
            self._expect(";")
        return Structure(name.text, name.at, members)

    def _union(self, name: Token) -> Union:
        self._expect("switch")
        self._expect("(")
        discriminant = self._declaration()
        self._expect(")")
        self._expect("{")
        arms: list[Arm] = []
        default = None
        while not self._accept("}"):
            token = self._take()
            if token.text == "case":
                cases = [self._value(":")]
                while self._accept("case"):
                    cases.append(self._value(":"))
                arms.append(Arm(cases, self._declaration()))
            elif token.text == "default":
                if default is not None:
                    raise token.at.error("a union has one default")
                self._expect(":")
                default = self._declaration()
            else:
                raise token.at.error(f'"case", "default" or "}}" is expected, not {token}')
            self._expect(";")
        if not arms and default is None:
            raise name.at.error("a union needs at least one case")
        return Union(name.text, name.at, discriminant, arms, default)

    def _declaration(self) -> Declaration:
        first = self._peek()
        if self._is("void"):
            self._next += 1
            return Declaration(first.at, Form.VOID, TypeName("void", first.at))
        base = self._type()
        if self._accept("*"):
            name = self._name("a name for the member")
            return Declaration(name.at, Form.OPTIONAL, base, name.text)
        name = self._name("a name for the member")
        form, size = self._bounds()
        if size is not None or form is not Form.PLAIN:
            following = self._peek()
            if following.text in {"[", "<"}:
                raise following.at.error("an array has one dimension: use a typedef for the rows")
        return Declaration(name.at, form, base, name.text, size)

    def _bounds(self) -> tuple[Form, Value | None]:
        if self._accept("["):
            return Form.FIXED, self._value("]")
        if self._accept("<"):
            return Form.VARIABLE, None if self._accept(">") else self._value(">")
        return Form.PLAIN, None

    def _type(self) -> TypeName | Enumeration | Structure | Union:
        token = self._take()
        if token.kind is not Kind.NAME:
            raise token.at.error(f"a type is expected, not {token}")
        word = token.text
        if word in {"enum", "struct", "union"}:
            return self._tagged(token)
        if word == "unsigned":
            kind = self._take().text if self._peek().text in _INTEGERS else "int"
            word = f"unsigned {self._long(kind)}"
        elif word in _TYPE_WORDS:
            word = self._long(word)
        elif word in _KEYWORDS:
            raise token.at.error(f"a type is expected, not {token}")
        return TypeName(word, token.at)

    def _long(self, kind: str) -> str:
        """`long long`, `long int` and the like are one type."""
        if kind == "long" and self._accept("long"):
            kind = "hyper"
        if kind in {"short", "long", "hyper"}:
            self._accept("int")
        return kind

    def _tagged(self, token: Token) -> TypeName | Enumeration | Structure | Union:
        """After enum, struct or union within a declaration: a type of the file, or one that is defined right here."""
        following = self._peek()
        if following.text not in {"{", "switch"}:
            name = self._name()
            return TypeName(name.text, name.at)
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise token.at.error(f"types are nested more than {MAX_NESTING} deep")
        here = Token(Kind.NAME, "", token.at)
        made = {"enum": self._enumeration, "struct": self._structure, "union": self._union}[token.text](here)
        self._depth -= 1
        assert isinstance(made, Enumeration | Structure | Union)
        return made

    # -- programs

    def _program(self) -> ProgramDef:
        name = self._name("a name for the program")
        self._expect("{")
        versions: list[VersionDef] = []
        while not self._accept("}"):
            self._expect("version")
            versions.append(self._version())
        self._expect("=")
        if not versions:
            raise name.at.error("a program needs at least one version")
        return ProgramDef(name.text, name.at, versions, self._value(";"))

    def _version(self) -> VersionDef:
        name = self._name("a name for the version")
        self._expect("{")
        procedures: list[ProcedureDef] = []
        while not self._accept("}"):
            result = self._parameter()
            procedure = self._name("a name for the procedure")
            self._expect("(")
            arguments = [self._parameter(named=True)]
            while self._accept(","):
                arguments.append(self._parameter(named=True))
            self._expect(")")
            self._expect("=")
            if any(argument.form is Form.VOID for argument in arguments):
                if len(arguments) > 1:
                    raise procedure.at.error(f"{procedure.text} takes void and something else")
                arguments = []
            procedures.append(ProcedureDef(procedure.text, procedure.at, result, arguments, self._value(";")))
        self._expect("=")
        return VersionDef(name.text, name.at, procedures, self._value(";"))

    def _parameter(self, *, named: bool = False) -> Declaration:
        """A result, or an argument: that may have a name."""
        first = self._peek()
        if self._accept("void"):
            return Declaration(first.at, Form.VOID, TypeName("void", first.at))
        base = self._type()
        pointer = self._accept("*")
        name = self._take().text if named and self._peek().kind is Kind.NAME else ""
        form, size = self._bounds()
        if pointer:
            if form is not Form.PLAIN:
                raise first.at.error("an array of pointers needs a typedef")
            form = Form.OPTIONAL
        elif form is Form.PLAIN and isinstance(base, TypeName) and base.name == "string":
            form = Form.VARIABLE
        return Declaration(first.at, form, base, name, size)
