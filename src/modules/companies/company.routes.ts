import Joi from 'joi';
import type { Row } from '../../platform/db/collection.ts';
import { mapPage } from '../../platform/pagination.ts';
import { field, idParams, pageOf, pageQuery, route, shape } from '../../platform/route.ts';
import type { Company, Location, Place } from './company.model.ts';
import { placeShown } from './company.rules.ts';
import { addLocation, archiveLocation, changeCompany, changeLocation, getLocation, listLocations, ownCompany, type CompanyChange } from './company.service.ts';

export interface CompanyView {
  id: string;
  name: string;
  email: string;
  phone?: string;
  status: string;
  kycStatus: string;
  emailVerified: boolean;
  stateCode?: string;
  version: number;
  createdAt: string;
}

/** What a company sees of itself. */
export function companyView(row: Row<Company>): CompanyView {
  return {
    id: row._id,
    name: row.name,
    email: row.email.shown(),
    ...(row.phone === undefined ? {} : { phone: row.phone.shown() }),
    status: row.status,
    kycStatus: row.kycStatus,
    emailVerified: row.emailVerifiedAt !== undefined,
    ...(row.stateCode === undefined ? {} : { stateCode: row.stateCode }),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

export const companyShape = shape<CompanyView>({
  id: field.id().required(),
  name: Joi.string().required(),
  email: Joi.string().required(),
  phone: Joi.string(),
  status: Joi.string().required(),
  kycStatus: Joi.string().required(),
  emailVerified: Joi.boolean().required(),
  stateCode: Joi.string(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

interface LocationView extends Place {
  id: string;
  version: number;
  createdAt: string;
}

function locationView(row: Row<Location>): LocationView {
  return {
    id: row._id,
    ...placeShown(row),
    version: row.version,
    createdAt: row.createdAt.toISOString(),
  };
}

const locationKeys = {
  name: field.text(200),
  contactName: field.text(200),
  phone: field.text(30),
  line1: field.text(500),
  line2: field.text(500),
  city: field.text(100),
  state: field.text(100),
  pincode: field.text(10),
  gstin: field.text(20),
};

const newLocation = shape<Place>({
  name: locationKeys.name.required(),
  contactName: locationKeys.contactName.required(),
  phone: locationKeys.phone.required(),
  line1: locationKeys.line1.required(),
  line2: locationKeys.line2,
  city: locationKeys.city.required(),
  state: locationKeys.state.required(),
  pincode: locationKeys.pincode.required(),
  gstin: locationKeys.gstin,
});

const locationShape = shape<LocationView>({
  id: field.id().required(),
  name: Joi.string().required(),
  contactName: Joi.string().required(),
  phone: Joi.string().required(),
  line1: Joi.string().required(),
  line2: Joi.string(),
  city: Joi.string().required(),
  state: Joi.string().required(),
  pincode: field.pincode().required(),
  gstin: Joi.string(),
  version: field.version().required(),
  createdAt: field.isoTime().required(),
});

export const companyRoutes = [
  route({
    method: 'get',
    path: '/v1/company',
    summary: 'The own company',
    permission: 'company:read',
    response: companyShape,
    handle: (ctx) => ownCompany(ctx),
    view: companyView,
  }),
  route({
    method: 'patch',
    path: '/v1/company',
    summary: 'Change the own company',
    permission: 'company:write',
    ifMatch: true,
    body: shape<CompanyChange>({ name: field.text(200), phone: field.text(30), stateCode: Joi.string().pattern(/^\d{2}$/) }).min(1),
    response: companyShape,
    handle: (ctx, { body, ifMatch }) => changeCompany(ctx, body, ifMatch),
    view: companyView,
  }),
  route({
    method: 'post',
    path: '/v1/locations',
    summary: 'Add a location: it holds stock, and couriers pick up there',
    permission: 'locations:write',
    idempotent: 'accepted',
    status: 201,
    body: newLocation,
    response: locationShape,
    handle: (ctx, { body }) => addLocation(ctx, body),
    view: locationView,
  }),
  route({
    method: 'get',
    path: '/v1/locations',
    summary: 'Locations in use, oldest first',
    permission: 'locations:read',
    query: pageQuery,
    response: pageOf(locationShape),
    handle: (ctx, { query }) => listLocations(ctx, query),
    view: (page) => mapPage(page, locationView),
  }),
  route({
    method: 'get',
    path: '/v1/locations/:id',
    summary: 'One location',
    permission: 'locations:read',
    params: idParams,
    response: locationShape,
    handle: (ctx, { params }) => getLocation(ctx, params.id),
    view: locationView,
  }),
  route({
    method: 'patch',
    path: '/v1/locations/:id',
    summary: 'Change a location',
    permission: 'locations:write',
    ifMatch: true,
    params: idParams,
    body: shape<Partial<Place>>(locationKeys).min(1),
    response: locationShape,
    handle: (ctx, { params, body, ifMatch }) => changeLocation(ctx, params.id, body, ifMatch),
    view: locationView,
  }),
  route({
    method: 'delete',
    path: '/v1/locations/:id',
    summary: 'Take a location out of use',
    permission: 'locations:write',
    ifMatch: true,
    params: idParams,
    response: locationShape,
    handle: (ctx, { params, ifMatch }) => archiveLocation(ctx, params.id, ifMatch),
    view: locationView,
  }),
];
