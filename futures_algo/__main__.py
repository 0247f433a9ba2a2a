"`python -m futures_algo VERB` is `futures-algo VERB`."

from futures_algo.cli import main

main()
