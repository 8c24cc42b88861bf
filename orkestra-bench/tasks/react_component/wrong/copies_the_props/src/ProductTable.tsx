import { useState } from "react";

export interface Product {
  id: number;
  name: string;
  price: number;
}

export interface ProductTableProps {
  products: Product[];
  pageSize?: number;
  onSelect?: (product: Product) => void;
}

type Column = "name" | "price";

interface Order {
  column: Column;
  descending: boolean;
}

const COLUMNS: { column: Column; label: string }[] = [
  { column: "name", label: "Name" },
  { column: "price", label: "Price" },
];

function compare(column: Column, left: Product, right: Product): number {
  if (column === "price") return left.price - right.price;
  const [a, b] = [left.name.toLowerCase(), right.name.toLowerCase()];
  return a < b ? -1 : a > b ? 1 : 0;
}

function arrange(products: Product[], search: string, order: Order | null): Product[] {
  const wanted = search.trim().toLowerCase();
  const found = products.filter((product) => product.name.toLowerCase().includes(wanted));
  if (order) {
    const sign = order.descending ? -1 : 1;
    // Sorting is stable, so equal products keep their order in both directions.
    found.sort((left, right) => sign * compare(order.column, left, right));
  }
  return found;
}

export default function ProductTable({ products, pageSize = 5, onSelect }: ProductTableProps) {
  const [items] = useState(products);
  const [search, setSearch] = useState("");
  const [order, setOrder] = useState<Order | null>(null);
  const [wantedPage, setWantedPage] = useState(1);

  const found = arrange(items, search, order);
  const pages = Math.max(1, Math.ceil(found.length / pageSize));
  const page = Math.min(wantedPage, pages);
  const rows = found.slice((page - 1) * pageSize, page * pageSize);

  const sortBy = (column: Column) => setOrder({ column, descending: order?.column === column && !order.descending });
  const direction = (column: Column) => (order?.column !== column ? "none" : order.descending ? "descending" : "ascending");

  return (
    <div>
      <input
        type="text"
        aria-label="Search"
        data-testid="search"
        value={search}
        onChange={(event) => {
          setSearch(event.target.value);
          setWantedPage(1);
        }}
      />
      <table>
        <thead>
          <tr>
            {COLUMNS.map(({ column, label }) => (
              <th key={column} scope="col" aria-sort={direction(column)}>
                <button type="button" data-testid={`sort-${column}`} onClick={() => sortBy(column)}>
                  {label}
                </button>
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((product) => (
            <tr key={product.id} data-testid="row" onClick={() => onSelect?.(product)}>
              <td>{product.name}</td>
              <td>${product.price.toFixed(2)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {rows.length === 0 && <p data-testid="empty">No products found</p>}
      <button type="button" data-testid="previous" disabled={page === 1} onClick={() => setWantedPage(page - 1)}>
        Previous
      </button>
      <span data-testid="page">{`Page ${page} of ${pages}`}</span>
      <button type="button" data-testid="next" disabled={page === pages} onClick={() => setWantedPage(page + 1)}>
        Next
      </button>
    </div>
  );
}
