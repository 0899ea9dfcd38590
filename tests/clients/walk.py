"""What a visitor and a keeper do, by the Python client that is made from the OpenAPI document.

python walk.py ADDRESS KEEPER PASSWORD
"""

import sys

from client import AuthenticatedClient, Client
from client.api.animals import animals_create_animal, animals_list_animals, animals_read_animal
from client.api.auth import auth_sign_in
from client.api.orders import orders_create_order, orders_list_orders, orders_read_order
from client.models import AnimalCreate, BearerToken, Credentials, ErrorDetail, ItemCreate, OrderCreate, Size

address, keeper, password = sys.argv[1:]
token = auth_sign_in.sync(client=Client(base_url=address), body=Credentials(username=keeper, password=password))
assert isinstance(token, BearerToken), token
client = AuthenticatedClient(base_url=address, token=token.access_token, raise_on_unexpected_status=True)

amara = animals_create_animal.sync(client=client, body=AnimalCreate(name="Amara"), idempotency_key="once")
assert amara.name == "Amara", amara
assert (amara.deleted_at, amara.exhibit_id, amara.photo) == (None, None, None)
assert animals_read_animal.sync(amara.id, client=client) == amara
assert animals_list_animals.sync(client=client, name="Amara") == [amara]
missing = animals_read_animal.sync(amara.id + 1, client=client)
assert missing == ErrorDetail(detail=f"No animal {amara.id + 1}"), missing

items = [ItemCreate(product="Lemonade", size=Size.BIG, quantity=2)]
order = orders_create_order.sync(client=client, body=OrderCreate(order=items))
assert [(item.product, item.quantity) for item in order.order] == [("Lemonade", 2)], order
assert orders_read_order.sync(order.id, client=client) == order
assert [listed.id for listed in orders_list_orders.sync(client=client).orders] == [order.id]
print("walked")
