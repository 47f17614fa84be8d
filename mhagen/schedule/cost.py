"""How long one call of attention() takes, predicted: counts of what its kernel does, and what each takes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..runtime.launch import MULTIPLY_ADDS_OF_A_READ, MULTIPLY_ADDS_OF_A_THREAD
from .counts import Counts, Tiling, count
from .machine import WAKE_SECONDS, Machine, Rates
from .numbers import numbers_of
from .plan import TASKS_OF_A_THREAD, Schedule
from .sight import Shape, Sight
from .ways import decode_tasks, decodes, takes_short_way
from .workload import Workload


@dataclass(frozen=True)
class Parts:
    """Where the seconds of a call go; their sum is the call.

    scores and values  both products, of pairs that are seen
    modify    the change of scores that the spec asks for
    softmax   maxima, powers and sums; the start and the end of score tiles
    sums      the start and the end of value tiles; accumulators between blocks of keys
    waste     both products, of pairs that nobody sees: ragged tiles, filled groups, the edges of the mask
    masks     classifying tiles, masking, looking for NaN behind the mask
    packing   queries turned over; keys and values of 16 bits widened or paired
    memory    reading and writing arrays that are not near, as far as it does not hide behind the rest
    starts    the call from Python, its threads, its tasks
    idle      threads that wait for the last one
    """

    scores: float = 0.0
    modify: float = 0.0
    softmax: float = 0.0
    values: float = 0.0
    sums: float = 0.0
    waste: float = 0.0
    masks: float = 0.0
    packing: float = 0.0
    memory: float = 0.0
    starts: float = 0.0
    idle: float = 0.0

    @property
    def seconds(self) -> float:
        return float(sum(vars(self).values()))


@dataclass(frozen=True)
class Cost:
    """One call of attention().

    Units    operations: of visible pairs, a multiply-add is two; bytes: of all arrays, each once, but not of
             keys and values that no query sees; reading: the seconds to read them, 0 where they stay in the
             second level cache from one call to the next
    """

    parts: Parts
    operations: float
    bytes: int
    reading: float
    visible_share: float
    threads: int  # that have work
    decodes: bool

    @property
    def seconds(self) -> float:
        return self.parts.seconds

    @property
    def intensity(self) -> float:
        """Operations for each byte that has to move: where a call stands on the roofline."""
        return self.operations / self.bytes


def modelled(work: Workload, schedule: Schedule, sight: Sight, machine: Machine) -> Cost:
    """The cost of a call with the shape of the sight.

    Numbers  within 10 % of what was measured for the calls that the rates of schedule/machine.py come from;
             0.6 to 1.6 times what calls of a few microseconds were measured to take
    """
    shape = sight.shape
    numbers = numbers_of(work.dtype, machine.target, (work.dim,))
    is_few, is_short = decodes(schedule, shape), takes_short_way(work, schedule, numbers, shape)
    most = 1 if is_short else most_tasks(work, schedule, shape, machine, is_few)
    threads = threads_of(load_of(work, shape, machine, is_few), most, machine.threads)
    reading = reading_seconds(work, sight, machine)
    schedule = with_enough_tasks(work, schedule, shape, machine, threads)
    tasks = tasks_of(work, schedule, shape, is_few)
    if is_few:
        parts = shared(decoding(work, sight, machine, tasks), tasks, threads)
        memory = max(0.0, reading - parts.seconds)
    else:
        parts = shared(prefill(work, schedule, sight, machine), tasks, threads)
        memory = machine.rates.exposed * reading
    rates = machine.rates
    entering = rates.short_way_seconds if is_short else rates.call_seconds
    starts = parts.starts + entering + (WAKE_SECONDS if threads > 1 else 0.0)
    return Cost(
        parts=replace(parts, memory=memory, starts=starts),
        operations=operations_of(work, shape) * sight.visible_share,
        bytes=bytes_of(work, sight),
        reading=reading,
        visible_share=sight.visible_share,
        threads=threads,
        decodes=is_few,
    )


def shared(parts: Parts, tasks: int, threads: int) -> Parts:
    """The parts of the thread that works longest, were all tasks alike, and what the others wait for it."""
    rounds = -(-tasks // threads)
    each = Parts(**{name: seconds / threads for name, seconds in vars(parts).items()})
    return replace(each, idle=each.seconds * (rounds * threads / tasks - 1))


def reading_seconds(work: Workload, sight: Sight, machine: Machine) -> float:
    size = bytes_of(work, sight)
    return 0.0 if size <= machine.target.l2_bytes else size / machine.read_bandwidth


def operations_of(work: Workload, shape: Shape) -> float:
    """Of both products, were every pair seen."""
    return 2.0 * shape.batch * work.query_heads * shape.pairs * (work.dim + work.value_dim)


def bytes_of(work: Workload, sight: Sight) -> int:
    """Of query, key, value, out and statistics, each read or written once."""
    shape = sight.shape
    # A sight is of all query heads, also of those that are pruned and see nothing.
    seen_keys = min(1.0, sight.seen_keys * work.query_heads / len(work.kept_heads))
    rows = work.query_heads * shape.queries + work.read_heads * shape.keys * seen_keys
    statistics = len(work.op.statistics) * work.query_heads * shape.queries * max(4, work.dtype.bytes)
    return round(shape.batch * (rows * (work.dim + work.value_dim) * work.dtype.bytes + statistics))


def tasks_of(work: Workload, schedule: Schedule, shape: Shape, is_few: bool) -> int:
    """What threads claim one after the other: tiles of queries, or chunks of keys."""
    if is_few:
        return decode_tasks(work, schedule, shape)
    return shape.batch * len(work.kept_heads) * -(-shape.queries // schedule.tile_queries)


def most_tasks(work: Workload, schedule: Schedule, shape: Shape, machine: Machine, is_few: bool) -> int:
    """Tasks can have as few queries as a group."""
    least = replace(schedule, tile_queries=group_queries(work, schedule, machine))
    return tasks_of(work, least, shape, is_few)


def with_enough_tasks(
    work: Workload, schedule: Schedule, shape: Shape, machine: Machine, threads: int
) -> Schedule:
    """With the tasks that the kernel takes: smaller where each of several threads would have too few."""
    group = group_queries(work, schedule, machine)
    groups = schedule.tile_queries // group
    least = TASKS_OF_A_THREAD * threads if threads > 1 else 1
    while groups > 1 and tasks_of(work, replace(schedule, tile_queries=groups * group), shape, False) < least:
        groups = (groups + 1) // 2
    return replace(schedule, tile_queries=groups * group)


def group_queries(work: Workload, schedule: Schedule, machine: Machine) -> int:
    return schedule.query_vectors * numbers_of(work.dtype, machine.target, (work.dim,)).lanes


def threads_of(load: int, tasks: int, most: int) -> int:
    """As many as runtime/launch.py wakes."""
    return max(1, min(tasks, most, 1 + load // MULTIPLY_ADDS_OF_A_THREAD))


def load_of(work: Workload, shape: Shape, machine: Machine, is_few: bool) -> int:
    """In multiply-adds of float32, as attend() counts them."""
    numbers = work.dim + work.value_dim
    multiply_adds = shape.batch * len(work.kept_heads) * shape.pairs * numbers
    done = multiply_adds // numbers_of(work.dtype, machine.target, (work.dim,)).together
    reads = shape.batch * len(work.bundles) * shape.keys * numbers
    return max(done, reads * MULTIPLY_ADDS_OF_A_READ) if is_few else done


def prefill(work: Workload, schedule: Schedule, sight: Sight, machine: Machine) -> Parts:
    """The work of all threads, without memory."""
    rates, step = machine.rates, machine.step_seconds
    tiling = Tiling(work, schedule, numbers_of(work.dtype, machine.target, (work.dim,)), sight.shape)
    found = count(tiling, sight, rates)
    seen = sight.shape.batch * work.query_heads * sight.shape.pairs * sight.visible_share
    scores, values = found.score_steps * rates.score_steps, found.value_steps * rates.value_steps
    useful_scores = scores * min(1.0, seen / found.score_pairs) if found.score_pairs else 0.0
    useful_values = values * min(1.0, seen / found.value_pairs) if found.value_pairs else 0.0
    return Parts(
        scores=step * useful_scores,
        modify=step * found.modified_steps,
        softmax=step * (found.score_tiles * rates.score_tiles + found.score_vectors * rates.score_vectors),
        values=step * useful_values,
        sums=step * (found.value_tiles * rates.value_tiles + found.sum_vectors * rates.sum_vectors),
        waste=step * (scores - useful_scores + values - useful_values),
        masks=step * mask_steps(found, rates),
        packing=step * packing_steps(found, rates),
        starts=step * found.tasks * rates.tasks,
    )


def mask_steps(found: Counts, rates: Rates) -> float:
    masked = found.masked_vectors * rates.masked_vectors + found.views * rates.views
    return masked + found.finite_vectors * rates.finite_vectors


def packing_steps(found: Counts, rates: Rates) -> float:
    queries = found.packed_vectors * rates.packed_vectors + found.groups * rates.groups
    return queries + found.staged_vectors * rates.staged_vectors


def decoding(work: Workload, sight: Sight, machine: Machine, tasks: int) -> Parts:
    """A few queries: the products of all threads, without memory."""
    numbers = numbers_of(work.dtype, machine.target, (work.dim,))
    operations = operations_of(work, sight.shape) * sight.visible_share
    products = operations / machine.peak(numbers) * machine.rates.decode_steps
    share = work.dim / (work.dim + work.value_dim)
    starts = machine.step_seconds * tasks * machine.rates.tasks
    return Parts(scores=products * share, values=products * (1 - share), starts=starts)
