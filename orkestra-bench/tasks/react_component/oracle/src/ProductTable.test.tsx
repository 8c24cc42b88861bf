import { fireEvent, render, screen } from "@testing-library/react";

import ProductTable from "./ProductTable";

const products = [
  { id: 1, name: "pear", price: 20 },
  { id: 2, name: "Apple", price: 100 },
  { id: 3, name: "fig", price: 3.5 },
];

const names = () => screen.queryAllByTestId("row").map((row) => row.firstChild?.textContent);

test("sorts prices as numbers, in both directions", () => {
  render(<ProductTable products={products} />);
  fireEvent.click(screen.getByTestId("sort-price"));
  expect(names()).toEqual(["fig", "pear", "Apple"]);
  fireEvent.click(screen.getByTestId("sort-price"));
  expect(names()).toEqual(["Apple", "pear", "fig"]);
  expect(products[0].name).toBe("pear");
});

test("a search leads to the first page", () => {
  render(<ProductTable products={products} pageSize={2} />);
  fireEvent.click(screen.getByTestId("next"));
  expect(screen.getByTestId("page").textContent).toBe("Page 2 of 2");
  fireEvent.change(screen.getByTestId("search"), { target: { value: " P" } });
  expect(names()).toEqual(["pear", "Apple"]);
  expect(screen.getByTestId("page").textContent).toBe("Page 1 of 1");
});

test("calls onSelect with the product", () => {
  const onSelect = jest.fn();
  render(<ProductTable products={products} onSelect={onSelect} />);
  fireEvent.click(screen.getAllByTestId("row")[1]);
  expect(onSelect).toHaveBeenCalledWith(products[1]);
});
