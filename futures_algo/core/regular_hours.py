"Hours of a session without a holiday, by product group."

REGULAR: dict[str, list[tuple[str, str]]] = {  # product group -> segments of a session, exchange time
    "equity": [("17:00", "16:00")],
    "energy": [("17:00", "16:00")],
    "metals": [("17:00", "16:00")],
    "fx": [("17:00", "16:00")],
    "rates": [("17:00", "16:00")],
    "crypto": [("17:00", "16:00")],
    "grains": [("19:00", "07:45"), ("08:30", "13:20")],
    "livestock": [("08:30", "13:05")],
    "ice_sugar": [("02:30", "12:00")],
    "ice_coffee": [("03:15", "12:30")],
    "ice_cocoa": [("03:45", "12:30")],
    "ice_cotton": [("20:00", "13:20")],
    "ice_juice": [("07:00", "13:00")],
    "ice_dollar": [("19:00", "16:00")],
}
CLOSED = "closed"  # in place of a time: no session at all
