import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQueryKeys, route, shape } from '../../platform/route.ts';
import { MAX_VARIANTS, PRODUCT_STATUSES, type Product, type Variant } from './product.model.ts';
import type { ProductChange, ProductInput } from './product.rules.ts';
import { addProduct, archiveProduct, changeProduct, getProduct, listProducts, type ProductQuery } from './product.service.ts';

interface ProductView extends Omit<Product, 'skus' | 'words'> {
  id: string;
  version: number;
  createdAt: string;
  updatedAt: string;
}

function productView(row: Row<Product>): ProductView {
  const { sku, name, pricePaise, hsnCode, taxBp, weightGrams, lengthMm, breadthMm, heightMm, maxPerOrder, status, variants } = row;
  return {
    id: row._id,
    sku,
    name,
    pricePaise,
    hsnCode,
    taxBp,
    weightGrams,
    lengthMm,
    breadthMm,
    heightMm,
    maxPerOrder,
    status,
    ...(variants ? { variants } : {}),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  };
}

/** Text of which something is left after trimming, without control characters. */
const visible = (max: number) =>
  Joi.string()
    .max(max)
    .pattern(/^[^\p{Cc}]*\S[^\p{Cc}]*$/u)
    .messages({ 'string.pattern.base': '{{#label}} must not be empty or have control characters' });

const sizes = {
  weightGrams: field.count(1, 1_000_000),
  lengthMm: field.count(1, 10_000),
  breadthMm: field.count(1, 10_000),
  heightMm: field.count(1, 10_000),
};

const variantShape = shape<Variant>({ sku: visible(100).required(), name: visible(300).required(), pricePaise: field.paise(), ...sizes });

const changeable = {
  name: visible(300),
  pricePaise: field.paise(),
  hsnCode: Joi.string()
    .max(30)
    .pattern(/^[\s.-]*(?:\d[\s.-]*){4}(?:(?:\d[\s.-]*){2}){0,2}$/)
    .messages({ 'string.pattern.base': '{{#label}} must have 4, 6 or 8 digits' }),
  taxBp: field.count(0, 10_000),
  ...sizes,
  maxPerOrder: field.count(1, 10_000),
  status: Joi.string().valid(...PRODUCT_STATUSES),
  variants: Joi.array().items(variantShape).max(MAX_VARIANTS),
};

const newProduct = shape<ProductInput>({
  ...changeable,
  sku: visible(100).required(),
  name: changeable.name.required(),
  pricePaise: changeable.pricePaise.required(),
  hsnCode: changeable.hsnCode.required(),
  taxBp: changeable.taxBp.required(),
  weightGrams: sizes.weightGrams.required(),
  lengthMm: sizes.lengthMm.required(),
  breadthMm: sizes.breadthMm.required(),
  heightMm: sizes.heightMm.required(),
});

const amount = Joi.number().integer().required();

const productShape = shape<ProductView>({
  id: field.id().required(),
  sku: Joi.string().required(),
  name: Joi.string().required(),
  pricePaise: amount,
  hsnCode: Joi.string().required(),
  taxBp: amount,
  weightGrams: amount,
  lengthMm: amount,
  breadthMm: amount,
  heightMm: amount,
  maxPerOrder: amount,
  status: Joi.string().valid(...PRODUCT_STATUSES).required(),
  variants: Joi.array().items(variantShape),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
  updatedAt: field.isoTime().required(),
});

export const productRoutes = [
  route({
    method: 'post',
    path: '/v1/products',
    summary: 'Add a product to the catalogue',
    permission: 'products:write',
    idempotent: 'accepted',
    status: 201,
    body: newProduct,
    response: productShape,
    errors: ['product_exists'],
    handle: (ctx, { body }) => addProduct(ctx, body),
    view: productView,
  }),
  route({
    method: 'get',
    path: '/v1/products',
    summary: 'Products, newest first; `q` searches names and SKUs by beginnings of words',
    permission: 'products:read',
    query: Joi.object<ProductQuery>({
      ...pageQueryKeys,
      status: Joi.string().valid(...PRODUCT_STATUSES),
      sku: field.text(100),
      q: field.text(200),
    }),
    response: pageOf(productShape),
    handle: (ctx, { query }) => listProducts(ctx, query),
    view: (page) => mapPage(page, productView),
  }),
  route({
    method: 'get',
    path: '/v1/products/:id',
    summary: 'One product',
    permission: 'products:read',
    params: idParams,
    response: productShape,
    handle: (ctx, { params }) => getProduct(ctx, params.id),
    view: productView,
  }),
  route({
    method: 'patch',
    path: '/v1/products/:id',
    summary: 'Change, publish or unpublish a product',
    permission: 'products:write',
    ifMatch: true,
    params: idParams,
    body: shape<ProductChange>(changeable).min(1),
    response: productShape,
    errors: ['product_exists', 'sku_kept'],
    handle: (ctx, { params, body, ifMatch }) => changeProduct(ctx, params.id, body, ifMatch),
    view: productView,
  }),
  route({
    method: 'delete',
    path: '/v1/products/:id',
    summary: 'Take a product off sale for good; it stays readable',
    permission: 'products:write',
    ifMatch: true,
    params: idParams,
    response: productShape,
    handle: (ctx, { params, ifMatch }) => archiveProduct(ctx, params.id, ifMatch),
    view: productView,
  }),
];
