"""Skills from what other frameworks built: fakes with exactly their interfaces."""

import asyncio
import functools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypedDict, TypeVar

import msgspec
import pytest

from mesh.agent import Agent, Context, Result
from mesh.agent.signature import InvalidInput
from mesh.client import Client
from tests.local.fake_peer import running_peer

Input = TypeVar("Input")
Output = TypeVar("Output")


class RunnableConfig(TypedDict, total=False):
    tags: list[str]
    callbacks: Any


class BaseModel:
    """As pydantic's: no dataclass, and plain only by its own method."""

    def __init__(self, **fields: Any) -> None:
        self.__dict__.update(fields)

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        assert mode == "json"
        return dict(self.__dict__)


class AIMessage(BaseModel):
    pass


class Runnable(Generic[Input, Output]):
    """As LangChain's: a graph, a chain or a model."""

    name: str | None = None

    def __init__(self, answer: Callable[[Any], Any]) -> None:
        self._answer = answer

    def invoke(self, input: Input, config: RunnableConfig | None = None, **kwargs: Any) -> Output:
        raise AssertionError("a coroutine is there")

    async def ainvoke(
        self, input: Input, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Output:
        await asyncio.sleep(0)
        output: Output = self._answer(input)
        return output


class CrewOutput(BaseModel):
    pass


class Crew:
    """As CrewAI's."""

    name = "writers"

    def kickoff(self, inputs: dict[str, Any] | None = None) -> CrewOutput:
        return CrewOutput(raw=f"on {(inputs or {})['topic']}", tasks_output=[AIMessage(content=1)])


class Pipeline:
    """As Haystack's."""

    def run(
        self, data: dict[str, Any], include_outputs_from: set[str] | None = None
    ) -> dict[str, Any]:
        return {"reader": {"answers": [Document(data["retriever"]["query"])]}}


class Document:
    def __init__(self, content: str) -> None:
        self.content = content

    def to_dict(self) -> dict[str, Any]:
        return {"content": self.content}


class Component:
    """A component of such a pipeline: called by keyword."""

    description = "Finds what is near."

    def run(self, query: str, top_k: int = 3) -> dict[str, list[int]]:
        return {"found": list(range(top_k))}


class Image:
    pass


class ToolAgent:
    """A method whose hints mention what cannot travel."""

    def run(self, task: str, images: list[Image] | None = None, *args: Any, **more: Any) -> Any:
        return [task, images, more]


@dataclass
class Question:
    text: str
    limit: int = 5
    tags: list[str] = field(default_factory=list)


class State(TypedDict):
    messages: list[str]


class Typed:
    def invoke(self, input: Question) -> str:
        assert isinstance(input, Question)
        return input.text * input.limit


class Stateful:
    def invoke(self, state: State) -> State:
        return {"messages": [*state["messages"], "more"]}


def run(agent: Agent, skill: str, **inputs: Any) -> Any:
    """Runs a skill as a worker would."""
    declared = agent.skills[skill, "1"]
    given = declared.signature.read_input(msgspec.Raw(msgspec.msgpack.encode(inputs)))
    value = declared.function(**given)
    if declared.is_async:
        value = asyncio.run(value)
    return msgspec.msgpack.decode(declared.signature.write_output(value))


def schema(agent: Agent, skill: str) -> Any:
    return json.loads(agent.skills[skill, "1"].declaration().input_schema)


def test_a_graph_is_handed_all_inputs_as_its_input() -> None:
    agent = Agent("a")
    agent.add(Runnable(lambda state: {**state, "answer": AIMessage(content="42")}), name="graph")
    assert agent.skills["graph", "1"].is_async
    assert run(agent, "graph", question="?") == {"question": "?", "answer": {"content": "42"}}
    assert "additionalProperties" not in schema(agent, "graph")


def test_a_model_that_takes_a_text_has_one_input() -> None:
    agent = Agent("a")
    agent.add(Runnable(lambda text: AIMessage(content=text)), "ask", argument="question", slots=4)
    assert agent.skills["ask", "1"].slots == 4
    assert run(agent, "ask", question="who?") == {"content": "who?"}
    with pytest.raises(InvalidInput, match="question"):
        run(agent, "ask")


def test_a_crew_is_kicked_off_and_names_itself() -> None:
    agent = Agent("a")
    agent.add(Crew())
    assert run(agent, "writers", topic="ants") == {
        "raw": "on ants",
        "tasks_output": [{"content": 1}],
    }


def test_a_pipeline_is_handed_its_data_and_a_component_its_keywords() -> None:
    agent = Agent("a")
    agent.add(Pipeline(), name="pipeline")
    agent.add(Component(), name="component")
    found = run(agent, "pipeline", retriever={"query": "ants"})
    assert found == {"reader": {"answers": [{"content": "ants"}]}}
    assert run(agent, "component", query="ants", top_k=2) == {"found": [0, 1]}
    assert schema(agent, "component")["properties"]["top_k"] == {"type": "integer", "default": 3}
    assert agent.skills["component", "1"].description == "Finds what is near."


def test_hints_that_cannot_travel_are_left_out() -> None:
    agent = Agent("a")
    agent.add(ToolAgent(), name="tools")
    assert run(agent, "tools", task="t") == ["t", None, {}]
    assert run(agent, "tools", task="t", depth=1) == ["t", None, {"depth": 1}]


def test_a_typed_input_gives_the_schema() -> None:
    agent = Agent("a")
    agent.add(Typed(), name="typed")
    agent.add(Stateful(), name="stateful")
    assert run(agent, "typed", text="ab", limit=2) == "abab"
    assert run(agent, "typed", text="a") == "aaaaa"
    assert schema(agent, "typed")["required"] == ["text"]
    with pytest.raises(InvalidInput):
        run(agent, "typed", text=1)
    assert run(agent, "stateful", messages=["one"]) == {"messages": ["one", "more"]}


def test_callables_of_all_kinds() -> None:
    class Doubler:
        def __call__(self, ctx: Context, number: int) -> int:
            return 2 * number

    class Waiter:
        async def __call__(self, number: int) -> int:
            await asyncio.sleep(0)
            return number

    def power(base: int, exponent: int) -> int:
        """Raises."""
        return int(base**exponent)

    agent = Agent("a")
    assert agent.add(power) is power
    agent.add(functools.partial(power, exponent=3), name="cube")
    agent.add(Doubler(), name="double")
    agent.add(Waiter(), name="wait")
    agent.add(lambda text: text.upper(), name="upper")
    assert agent.skills["power", "1"].description == "Raises."
    assert run(agent, "power", base=2, exponent=3) == run(agent, "cube", base=2) == 8
    assert schema(agent, "cube")["properties"]["base"] == {"type": "integer"}
    assert agent.skills["double", "1"].signature.takes_context
    assert agent.skills["double", "1"].function(None, number=4) == 8
    assert run(agent, "wait", number=4) == 4
    assert run(agent, "upper", text="x") == "X"


def test_plain_methods_come_first_under_trio() -> None:
    class Both:
        def invoke(self, input: dict[str, Any]) -> str:
            return "plain"

        async def ainvoke(self, input: dict[str, Any]) -> str:
            return "a coroutine for asyncio"

    agent = Agent("a", loop="trio")
    agent.add(Both(), name="both")
    assert run(agent, "both") == "plain"
    agent.add(Both(), name="other", method="ainvoke")
    assert run(agent, "other") == "a coroutine for asyncio"


def test_a_confidence_is_kept() -> None:
    class Sure:
        def run(self, query: str) -> Result[str]:
            return Result(query, confidence=0.5)

    agent = Agent("a")
    handler = agent.add(Sure(), name="sure")
    result = handler(query="q")
    assert (result.value, result.confidence) == ("q", 0.5)


@pytest.mark.parametrize(
    ("thing", "options", "error"),
    [
        (Crew, {"name": "crew"}, "is a class: add an object of it"),
        (Pipeline(), {}, "what the skill of .* is called"),
        (object(), {"name": "x"}, "cannot be called"),
        (Crew(), {"method": "launch"}, "has no method launch"),
        (len, {}, "cannot be given by keyword"),
        ("a {b}".format_map, {}, "is not known: wrap it in a function"),
        (lambda x: x, {}, "what the skill of .* is called"),
    ],
)
def test_what_cannot_be_a_skill_is_told_at_once(
    thing: Any, options: dict[str, Any], error: str
) -> None:
    with pytest.raises(TypeError, match=error):
        Agent("a").add(thing, **options)


def test_a_result_that_cannot_travel_is_told() -> None:
    agent = Agent("a")
    agent.add(lambda: Image(), name="image")
    agent.add(Runnable(lambda _: Image()), name="graph")
    with pytest.raises(TypeError, match="a result of Image cannot travel"):
        run(agent, "graph")


GRAPH_FILE = """
from mesh import Agent

class Graph:
    async def ainvoke(self, input, config=None, **kwargs):
        return {**input, "answer": 42}

agent = Agent("graphs")
agent.add(Graph(), name="graph", slots=2)
"""


def test_a_worker_offers_what_was_added(tmp_path: Path) -> None:
    file = tmp_path / "graphs.py"
    file.write_text(GRAPH_FILE)
    with running_peer(tmp_path, files=[str(file)]) as peer, Client(address=peer.socket) as client:
        assert client.call("graph", question="?") == {"question": "?", "answer": 42}
