import asyncio
from threading import Thread

from edgeface.web.wakeup import Wakeup


class Shelf:
    """Something that is looked for; it says who has looked."""

    def __init__(self):
        self.wakeup, self.found, self.looks = Wakeup(), None, 0

    def find(self):
        self.looks += 1
        return self.found

    def put(self, thing):
        self.found = thing
        self.wakeup.wake()


def test_what_is_there_already_is_not_waited_for():
    shelf = Shelf()
    shelf.put("picture")
    assert asyncio.run(shelf.wakeup.wait(shelf.find, 60.0)) == "picture"
    assert shelf.looks == 1


def test_who_waits_looks_again_only_when_another_thread_rings():
    shelf = Shelf()

    async def wait():
        waiting = [asyncio.create_task(shelf.wakeup.wait(shelf.find, 60.0)) for _ in range(3)]
        await asyncio.sleep(0.3)
        assert shelf.looks == 3
        Thread(target=shelf.wakeup.wake).start()  # for something else
        while shelf.looks < 6:
            await asyncio.sleep(0.01)
        Thread(target=shelf.put, args=["picture"]).start()
        return await asyncio.gather(*waiting)

    assert asyncio.run(wait()) == ["picture"] * 3
    assert shelf.looks == 9


def test_a_ring_while_somebody_looks_is_not_missed():
    shelf = Shelf()

    def find():
        found = shelf.find()
        if shelf.looks == 1:
            shelf.put("picture")
        return found

    assert asyncio.run(shelf.wakeup.wait(find, 60.0)) == "picture"


def test_nothing_comes_of_waiting_too_long_and_a_late_ring_harms_nobody():
    shelf = Shelf()
    assert asyncio.run(shelf.wakeup.wait(shelf.find, 0.01)) is None
    shelf.wakeup.wake()


def test_who_rings_for_a_page_that_was_closed_meanwhile_is_not_stopped():
    shelf = Shelf()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(shelf.wakeup.wait(shelf.find, 60.0))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    shelf.wakeup.wake()
    assert not waiting.done()
