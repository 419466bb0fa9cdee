"""What an actor of the class Store is, in Python: the contract of section 3 without a disk."""

import copy

INTEGER_MIN, INTEGER_MAX = -2**63, 2**63 - 1


class Refused(Exception):
    """A request that writes nothing: its status and code."""

    def __init__(self, status, code, failed=None):
        super().__init__(status, code)
        self.status, self.code, self.failed = status, code, failed


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def equal(a, b):
    """As `equals` has it: 1 is 1.0, and True is not."""
    if is_number(a) and is_number(b):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    return type(a) is type(b) and a == b


class Model:
    """Keys with their values and versions; `version` is that of the last batch that wrote."""

    def __init__(self):
        self.keys = {}
        self.version = None

    def copy(self):
        other = Model()
        other.keys = dict(self.keys)  # entries are never changed in place
        other.version = self.version
        return other

    def get(self, key):
        entry = self.keys.get(key)
        return None if entry is None else {"value": entry[0], "version": entry[1]}

    def list(self, prefix="", start=None, startAfter=None, end=None, limit=100, reverse=False,
             values=True):
        def is_in(key):
            return key.startswith(prefix) and (start is None or key.encode() >= start.encode()) and \
                (startAfter is None or key.encode() > startAfter.encode()) and \
                (end is None or key.encode() < end.encode())
        names = sorted((k for k in self.keys if is_in(k)), key=str.encode, reverse=reverse)[:limit]
        return [{"key": k, **({"value": self.keys[k][0]} if values else {}), "version": self.keys[k][1]}
                for k in names]

    def holds(self, condition):
        entry = self.keys.get(condition["key"])
        return ("version" not in condition or entry is not None and entry[1] == condition["version"]) \
            and ("exists" not in condition or condition["exists"] == (entry is not None)) \
            and ("equals" not in condition or entry is not None and equal(entry[0], condition["equals"]))

    def _add(self, key, by):
        old = self.keys[key][0] if key in self.keys else 0
        if not is_number(old) or not is_number(by):
            raise Refused(400, "invalid_value")
        total = old + by
        if isinstance(total, int) and not INTEGER_MIN <= total <= INTEGER_MAX:
            raise Refused(400, "invalid_value")
        return total

    def _append(self, key, items):
        old = self.keys[key][0] if key in self.keys else []
        if not isinstance(old, list):
            raise Refused(400, "invalid_value")
        return old + items

    def _do(self, action, version):
        """One result, and whether something was written."""
        if "put" in action:
            self.keys[action["put"]] = (copy.deepcopy(action["value"]), version)
            return {"version": version}, True
        if "delete" in action:
            existed = self.keys.pop(action["delete"], None) is not None
            return {"existed": existed}, existed
        if "add" in action:
            total = self._add(action["add"], action.get("by", 1))
            self.keys[action["add"]] = (total, version)
            return {"value": total}, True
        if "append" in action:
            grown = self._append(action["append"], copy.deepcopy(action["items"]))
            self.keys[action["append"]] = (grown, version)
            return {"length": len(grown)}, True
        if "get" in action:
            return self.get(action["get"]), False
        return {"entries": self.list(**action["list"])}, False

    def txn(self, do, checks, version):
        """The results, with `version` as that of this batch where it writes; or Refused, and nothing
        has changed."""
        for at, condition in enumerate(checks):
            if not self.holds(condition):
                raise Refused(409, "conflict", at)
        before, wrote, results = dict(self.keys), False, []
        try:
            for action in do:
                result, writes = self._do(action, version)
                results.append(result)
                wrote = wrote or writes
        except Refused:
            self.keys = before
            raise
        if wrote:
            self.version = version
        return results, wrote
