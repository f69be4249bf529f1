import laktory as lk
brz = lk.models.PipelineNode(
    name="brz_stock_prices",
    source=lk.models.FileDataSource(
        path="./data/stock_prices/",
        format="JSONL",
    ),
    sinks=[
        lk.models.FileDataSink(
            path="./data/brz_stock_prices.parquet",
            format="PARQUET",
        )
    ],
)
slv = lk.models.PipelineNode(
    name="slv_stock_prices",
    source=lk.models.PipelineNodeDataSource(node_name="brz_stock_prices"),
    sinks=[
        lk.models.FileDataSink(
            path="./data/slv_stock_prices.parquet",
            format="PARQUET",
        )
    ],
    transformer={
        "nodes": [
            lk.models.DataFrameExpr(
                expr="""
                 SELECT
                      CAST(data.created_at AS TIMESTAMP) AS created_at,
                      data.symbol AS name,
                      data.symbol AS symbol,
                      data.open AS open,
                      data.close AS close,
                      data.high AS high,
                      data.low AS low,
                      data.volume AS volume
                    FROM
                      {df}
                """
            ),
            lk.models.DataFrameMethod(
                func_name="unique",
                func_kwargs={
                    "subset": ["symbol", "created_at"],
                    "keep": "any"
                }
            )
        ]
    }
)
pl = lk.models.Pipeline(
    name="pl-stock-prices",
    dataframe_backend="POLARS",
    nodes=[brz, slv],
)
