"""X12 944 stock transfer receipt advices: what a 3PL says it has counted in becomes receipts.

``W17*F*20260714*WR12345*PO-77~ ... W07*100*EA**UK*ITEM123~W13*2*EA*01~ ... W14*100~`` says that 100 units of ITEM123
came of PO-77, two of them damaged. W17 names our inbound as the depositor's order and its receipt by the warehouse's
number; W07 counts every unit that came, and W13 what is wrong with some of them (element 412).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from shared.domain.supply import Receipt, ReceiptLine
from shared.errors import Fault, InvalidInput
from shared.gateways.x12 import Segment, Transaction, X12Error, read_interchanges

_SHORT, _OVER = "02", "03"


def read_receipt_advice(content: bytes) -> tuple[Receipt, ...]:
    """The receipts of an interchange of 944s.

    Raises:
        InvalidInput: with every fault, by segment; of a file that is cut off or of another kind, the first.
    """
    try:
        interchanges = read_interchanges(content)
    except X12Error as error:
        raise InvalidInput([_fault(error.segment_no, error.code, str(error))]) from None
    documents = [each for interchange in interchanges for each in interchange.transactions]
    other = sorted({each.set_id for each in documents if each.set_id != "944"})
    if other or not documents:
        raise InvalidInput([_fault(1, "other_document", f"holds {', '.join(other) or 'nothing'}, not 944s")])
    advices = [_Advice(each) for each in documents]
    faults = [fault for advice in advices for fault in advice.faults]
    if faults:
        raise InvalidInput(faults)
    return tuple(advice.receipt() for advice in advices)


class _Advice:
    """One 944: its receipt, or its faults."""

    def __init__(self, document: Transaction) -> None:
        self.faults: list[Fault] = []
        self._inbound_id = self._reference = ""
        self._lines: dict[str, ReceiptLine] = {}
        loop: list[Segment] = []
        came = 0
        for segment in document.segments:
            if segment.tag in ("W07", "W14"):
                came += self._item(loop)
                loop = []
            if segment.tag == "W17":
                self._head(segment)
            elif segment.tag == "W14":
                self._total(segment, came)
            elif segment.tag == "W07" or loop:
                loop.append(segment)
        came += self._item(loop)
        if not self._inbound_id:
            self._refuse(document.segments[:1], "missing", "W17 must name the depositor's order and the receipt")
        elif not self._lines and not self.faults:
            self._refuse(document.segments[:1], "empty", "counts nothing in")

    def receipt(self) -> Receipt:
        return Receipt(inbound_id=self._inbound_id, reference=self._reference, lines=tuple(self._lines.values()))

    def _head(self, segment: Segment) -> None:
        self._reference, self._inbound_id = segment[3], segment[4]
        if not self._reference:
            self._refuse([segment], "missing", "W1703 must be the number of the warehouse's receipt")

    def _item(self, loop: Sequence[Segment]) -> int:
        """Take an item's loop; returns the units that came."""
        if not loop:
            return 0
        item, came = loop[0], self._units(loop[0])
        wrong = {n[3]: self._units(n) for n in loop if n.tag == "W13"}
        held_back = sum(units for code, units in wrong.items() if code not in (_SHORT, _OVER))
        sku = item[5] or item[3]
        if not sku:
            self._refuse([item], "missing", "W0705 must name the item")
        elif sku in self._lines:
            self._refuse([item], "duplicate", f"{sku} stands there twice")
        elif held_back > came:
            self._refuse([item], "contradicts", f"{held_back} units are not sound, {came} came")
        elif came or _SHORT in wrong:
            good = came - held_back
            self._lines[sku] = ReceiptLine(sku=sku, good=good, damaged=held_back, short=_SHORT in wrong)
        return came

    def _units(self, segment: Segment) -> int:
        if segment[2] not in ("EA", "UN", "PC"):
            self._refuse([segment], "other_unit", f"counts in {segment[2] or 'nothing'}, not in eaches (EA)")
        elif not segment[1].isdecimal():
            self._refuse([segment], "not_an_integer", "must be a whole number of units")
        else:
            return int(segment[1])
        return 0

    def _total(self, segment: Segment, came: int) -> None:
        if segment[1] != str(came) and not self.faults:
            self._refuse([segment], "wrong_count", f"W14 says {segment[1]} units, the items add up to {came}")

    def _refuse(self, at: Iterable[Segment], code: str, message: str) -> None:
        self.faults.append(_fault(next((segment.number for segment in at), 1), code, message))


def _fault(segment_no: int, code: str, message: str) -> Fault:
    return Fault(pointer=f"/{segment_no}", code=code, message=message)
