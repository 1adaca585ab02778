from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from workers.sandbox.packing import Pick, SharedParcel, pack

picks = st.lists(
    st.builds(
        Pick,
        line_no=st.integers(1, 50),
        sku=st.just("S"),
        quantity=st.integers(1, 60),
        unit_g=st.integers(0, 40_000),
    ),
    max_size=20,
)


@given(picks, st.integers(1, 5), st.integers(0, 25_000))
def test_a_shared_parcel_is_filled_up_before_the_next_is_begun(wanted: list[Pick], parcel_no: int, filled: int) -> None:
    packages = pack(wanted, max_g=25_000, begun=SharedParcel(parcel_no, filled))
    apart = pack(wanted, max_g=25_000)
    assert sum(package.weight_g for package in packages) == sum(package.weight_g for package in apart)
    assert [package.package_no for package in packages] == list(range(1, len(packages) + 1))
    numbers = [package.parcel_no for package in packages]
    assert numbers == sorted(set(numbers))
    for package in packages:
        begun = filled if package.parcel_no == parcel_no else 0
        units = sum(line.quantity for line in package.lines)
        assert begun + package.weight_g <= 25_000 or (units == 1 and not begun)
