"""Defects put in between a crash campaign and its node; each must be found.

What a writer's connection sends or gets is tampered with, one time in some, so that the node has lost,
doubled, torn or mistimed something as far as the campaign can tell. A repeat is treated like the first
request under its key."""

import json
import zlib

from crash_base import Answer, Connection


class Plant(Connection):
    """One in `one_in` of the requests that `concerns` goes through `tamper`."""

    one_in = 5
    expected = None  # what the violation says

    async def request(self, method, path, body=b"", key=None, octets=False):
        if self.concerns(method, path, body) and zlib.crc32(key.encode()) % self.one_in == 0:
            self.campaign.stats["defects planted"] += 1
            return await self.tamper(method, path, body, key, octets)
        return await super().request(method, path, body, key, octets)

    async def twice(self, method, path, body, key, octets):
        answer = await super().request(method, path, body, key, octets)
        await super().request(method, path, body, None, octets)
        return answer

    async def undone(self, method, path, body, key, octets):
        answer = await super().request(method, path, body, key, octets)
        await super().request("DELETE", path)
        return answer


class LostPut(Plant):
    expected = "has lost|was gone before"

    def concerns(self, method, path, body):
        return method == "PUT" and "/kv/" in path

    tamper = Plant.undone


class DoubledCount(Plant):
    expected = "counts"

    def concerns(self, method, path, body):
        return b'"add"' in body

    tamper = Plant.twice


class LostCount(Plant):
    expected = "counts"

    def concerns(self, method, path, body):
        return b'"add"' in body

    async def tamper(self, method, path, body, key, octets):
        answer = await Connection.request(self, method, path, body, key, octets)
        await Connection.request(self, method, path, b'{"do":[{"add":"count","by":-1}]}')
        return answer


class HalfRegister(Plant):
    """Each time: the next write of the register hides it, and only the last one before a kill shows."""

    one_in = 1
    expected = "half applied"

    def concerns(self, method, path, body):
        return b'"register/' in body

    async def tamper(self, method, path, body, key, octets):
        answer = await Connection.request(self, method, path, body, key, octets)
        await Connection.request(self, method, path, b'{"do":[{"put":"register/7","value":"older"}]}')
        return answer


class DoubledLog(Plant):
    expected = "twice"

    def concerns(self, method, path, body):
        return b'"append"' in body

    tamper = Plant.twice


class ForgottenKey(Plant):
    """The record of the key is gone: a repeat would act again."""

    expected = "the record is lost"

    def concerns(self, method, path, body):
        return b'"append"' in body or b'"add"' in body

    async def tamper(self, method, path, body, key, octets):
        return await Connection.request(self, method, path, body, None, octets)


class UnfiredTimer(Plant):
    expected = "never fired"

    def concerns(self, method, path, body):
        return method == "PUT" and "/timers/" in path and b"3600000" not in body

    tamper = Plant.undone


class EarlyTimer(UnfiredTimer):
    """It fires before the time that was answered."""

    expected = "fired for another time"

    async def tamper(self, method, path, body, key, octets):
        doc = json.loads(body)
        sooner = {**doc, "in": 0} if "in" in doc else {**doc, "at": doc["at"] - 1000}
        answer = await Connection.request(self, method, path, json.dumps(sooner).encode(), key, octets)
        told = answer.json
        told["at"] += 1000 if "at" in doc else doc["in"]
        return Answer(answer.status, answer.headers, json.dumps(told).encode())


class DoubledTimer(UnfiredTimer):
    expected = "fired for another time|fired twice"

    async def tamper(self, method, path, body, key, octets):
        answer = await Connection.request(self, method, path, body, key, octets)
        again = {**json.loads(body), "at": answer.json["at"] + 200}
        again.pop("in", None)
        await Connection.request(self, method, path, json.dumps(again).encode())
        return answer


class RevivedTimer(Plant):
    """A deletion that was answered has not happened."""

    one_in = 1
    expected = "nobody set|was deleted"

    def concerns(self, method, path, body):
        return method == "DELETE" and "/timers/" in path

    async def tamper(self, method, path, body, key, octets):
        answer = await Connection.request(self, method, path, body, key, octets)
        await Connection.request(self, "PUT", path, b'{"in":100}')
        return answer


class LostWebhook(UnfiredTimer):
    one_in = 2
    expected = "was not delivered"

    def concerns(self, method, path, body):
        return b'"webhook"' in body and b"3600000" not in body

    async def tamper(self, method, path, body, key, octets):
        doc = json.loads(body)
        doc.pop("webhook")
        return await Connection.request(self, method, path, json.dumps(doc).encode(), key, octets)


PLANTS = {plant.__name__: plant for plant in [
    LostPut, DoubledCount, LostCount, HalfRegister, DoubledLog, ForgottenKey, UnfiredTimer, EarlyTimer,
    DoubledTimer, RevivedTimer, LostWebhook]}
